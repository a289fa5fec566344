// What the model makes of a text while it is typed: kept up to date as the text changes.
//
// The network reads from left to right, so a change is read again from its place to the end, and
// from time to time the state is remembered to begin from. Nothing here knows of a page.

"use strict";

const REMEMBER_EVERY = 32;
const SHOWN = 8;
const UNIT_SCALE = 127;

/** A text, and for every character of it what it cost and what had been expected in its place. */
class Transcript {
  constructor(model) {
    this.model = model;
    this.chars = [];
    /** Bits of each character that was read; null where nothing could be predicted. */
    this.bits = [];
    /** The likeliest characters at each place and after the last: lists of {id, probability}. */
    this.expected = [];
    /** The hidden state after each character, in 127ths. */
    this.units = [];
    this.remembered = [];
    this.reader = model.reader();
    /** What is predicted after the last character that was read (V); null if nothing is. */
    this.logits = null;
    this.#lookAhead();
  }

  /** How many characters have been read. */
  get done() {
    return this.bits.length;
  }

  get isComplete() {
    return this.done === this.chars.length;
  }

  /** The mean of all bits that are known; NaN if there are none. */
  get bitsPerCharacter() {
    const known = this.bits.filter((bits) => bits !== null);
    return known.reduce((sum, bits) => sum + bits, 0) / known.length;
  }

  /** Take the text as it is now; returns the place of the first difference. */
  setText(text) {
    const chars = Array.from(text);
    let same = 0;
    while (same < chars.length && chars[same] === this.chars[same]) same++;
    this.chars = chars;
    if (same < this.done) this.#goBackTo(same);
    return same;
  }

  /** Read until it is done or the time is over. */
  readFor(milliseconds) {
    const end = performance.now() + milliseconds;
    while (!this.isComplete && performance.now() < end) this.#readNext();
  }

  /** In stream mode nothing can follow nothing: begin where a line begins, as `generate` does. */
  open() {
    if (this.reader.hasRead) return;
    this.reader.readId(this.model.vocabulary.openingId);
    this.#lookAhead();
  }

  append(char) {
    this.chars.push(char);
    this.#readNext();
  }

  /** What a unit of a layer holds after a character, from -1 to 1. */
  activation(at, unit) {
    return this.units[at][unit] / UNIT_SCALE;
  }

  #readNext() {
    const at = this.done;
    const { state, hasRead } = this.reader;
    if (at % REMEMBER_EVERY === 0) {
      this.remembered[at / REMEMBER_EVERY] = { state: state.slice(), hasRead };
    }
    const char = this.chars[at];
    const target = this.reader.targetOf(char);
    this.bits.push(this.logs && -this.logs[target] / Math.LN2);
    this.reader.read(char);
    const { layers, hidden } = this.model.network;
    const units = state.subarray(0, layers * hidden);
    this.units.push(Int8Array.from(units, (h) => Math.round(h * UNIT_SCALE)));
    this.#lookAhead();
  }

  #lookAhead() {
    this.logits = this.reader.predict();
    this.logs = this.logits && logSoftmax(this.logits);
    this.expected[this.done] = this.logs ? likeliest(this.logs, this.model.vocabulary.firstDrawn) : [];
  }

  #goBackTo(place) {
    const nearest = Math.floor(place / REMEMBER_EVERY);
    const { state, hasRead } = this.remembered[nearest];
    if (place === 0) {
      this.reader = this.model.reader();
    } else {
      this.reader.state.set(state);
      this.reader.hasRead = hasRead;
    }
    for (let at = nearest * REMEMBER_EVERY; at < place; at++) this.reader.read(this.chars[at]);
    for (const list of [this.bits, this.units]) list.length = place;
    this.expected.length = place;
    this.#lookAhead();
  }
}

/** The most probable of the ids from the first that is ever drawn, the most probable first. */
function likeliest(logs, firstDrawn) {
  const best = [];
  for (let id = firstDrawn; id < logs.length; id++) {
    if (best.length === SHOWN && logs[id] <= logs[best[SHOWN - 1]]) continue;
    let place = best.length;
    while (place > 0 && logs[best[place - 1]] < logs[id]) place--;
    best.splice(place, 0, id);
    best.length = Math.min(best.length, SHOWN);
  }
  return best.map((id) => ({ id, probability: Math.exp(logs[id]) }));
}

if (typeof module !== "undefined") {
  Object.assign(globalThis, require("./engine.js"));
  module.exports = { Transcript };
}
