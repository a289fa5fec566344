// The page: a text that is typed, read, coloured and continued.
//
// What is shown follows from three things: the text in the text area, the transcript of it, and
// the settings. Work is done between frames, so that the page answers while the network reads.

"use strict";

const LONGEST_TEXT = 20000;
const WORK_MILLISECONDS = 10;
const CHARACTERS_A_FRAME = 3;
const FEWEST_TO_MEASURE = 100;
const HOTTEST_BITS = 8;
const MOST_NAMED = 8;
const RNG_SEED_LIMIT = 2 ** 32;

const byId = (id) => document.getElementById(id);
const text = byId("text");
const sheet = text.parentElement;
const marks = byId("marks");
const number = new Intl.NumberFormat("en");
const percent = new Intl.NumberFormat("en", { style: "percent", maximumSignificantDigits: 2 });

// --- The model, out of this file ----------------------------------------------------------------

async function loadModel() {
  await new Promise((resolve) => setTimeout(resolve)); // let the page be drawn first
  const description = JSON.parse(byId("description").textContent);
  const binary = atob(byId("weights").textContent.trim());
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = binary.charCodeAt(at);
  byId("weights").remove();
  return new Model(description, bytes);
}

const model = loadModel();
window.charrnn = {
  ready: model.then(() => undefined),
  generate: async (seed, options) => (await model).generate(seed, options),
  surprisal: async (content) => (await model).surprisal(content),
  logits: async (content) => (await model).logits(content),
};

// --- What is shown ------------------------------------------------------------------------------

const WORDS = { "\n": "new line", " ": "space", "\t": "tab", "<eos>": "end of line", "<unk>": "unknown" };

/** How a character is shown where it stands alone. */
function shown(char) {
  if (WORDS[char]) return WORDS[char];
  return /[\p{C}\p{Z}\p{M}]/u.test(char) ? codePoint(char) : char;
}

function codePoint(char) {
  return `U+${char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
}

/** Names a character in a sentence. */
function quoted(char) {
  const name = shown(char);
  return name === char ? `“${char}”` : name;
}

/** Put text in an element, unless it is there: what did not change is not read out again. */
function show(node, content) {
  if (node.textContent !== content) node.textContent = content;
}

function element(name, className, content = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = content;
  return made;
}

class Page {
  constructor(model) {
    this.model = model;
    this.transcript = new Transcript(model);
    this.writing = null;
    this.written = null;
    this.hovered = null;
    this.placed = 0;
    this.coloured = 0;
    this.speed = { characters: 0, milliseconds: 0 };
    this.#setDefaults();
    this.#listen();
    byId("write").disabled = false;
    this.recolour();
  }

  // --- Events -----------------------------------------------------------------------------------

  #listen() {
    text.addEventListener("input", (event) => event.isComposing || this.edited());
    text.addEventListener("compositionend", () => this.edited());
    document.addEventListener("selectionchange", () => this.showExpected());
    text.addEventListener("pointermove", (event) => this.hover(markAt(event)));
    text.addEventListener("pointerleave", () => this.hover(null));
    byId("write").addEventListener("click", () => (this.writing ? this.stop() : this.write()));
    byId("back").addEventListener("click", () => this.takeBack());
    byId("new-seed").addEventListener("click", () => (byId("rng-seed").value = newRngSeed()));
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.stop();
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !this.writing) {
        event.preventDefault();
        this.write();
      }
    });
    for (const id of ["by-surprisal", "by-unit", "unit"]) {
      byId(id).addEventListener("input", () => this.recolour());
    }
    for (const id of ["temperature", "top-p"]) byId(id).addEventListener("input", showSliders);
  }

  #setDefaults() {
    const { temperature, topK, topP, minP, length } = this.model.defaults;
    byId("temperature").max = Math.max(2, temperature);
    byId("temperature").value = temperature;
    byId("top-p").value = topP;
    byId("top-k").value = topK;
    byId("min-p").value = minP;
    byId("length").value = length || 500;
    byId("rng-seed").value = newRngSeed();
    byId("unit").max = this.model.network.layers * this.model.network.hidden - 1;
    showSliders();
  }

  edited() {
    this.stop();
    this.#normalize();
    if (text.value.length > LONGEST_TEXT) {
      text.value = text.value.slice(0, LONGEST_TEXT);
      notice(`This page reads ${number.format(LONGEST_TEXT)} characters; what was beyond is left out.`);
    } else {
      this.#noticeUnknown();
    }
    const first = this.transcript.setText(text.value);
    this.placed = Math.min(this.placed, first);
    this.coloured = Math.min(this.coloured, first);
    this.changed();
  }

  /** Give the text the form that the model learned; the cursor stays where it is in it. */
  #normalize() {
    const normalized = this.model.normalized(text.value);
    if (normalized === text.value) return;
    const before = this.model.normalized(text.value.slice(0, text.selectionEnd));
    text.value = normalized;
    text.setSelectionRange(before.length, before.length);
  }

  #noticeUnknown() {
    const odd = this.model.vocabulary.unknownIn(text.value);
    const names = odd.slice(0, MOST_NAMED).map((char) => `${quoted(char)} (${codePoint(char)})`);
    if (odd.length > MOST_NAMED) names.push("and others");
    notice(odd.length ? `Not in the text that the model learned from: ${names.join(", ")}` : "");
  }

  // --- Writing ----------------------------------------------------------------------------------

  /** Begin to write on, or go on with a text that is as it was left. */
  write() {
    const settings = readSettings();
    if (settings === null) return;
    const { rngSeed, length, ...shape } = settings;
    const goesOn = this.written?.end === text.value && this.written.rngSeed === rngSeed;
    const uniforms = goesOn ? this.written.uniforms : new UniformStream(rngSeed);
    this.writing = { sampler: new Sampler(shape, this.model.vocabulary), uniforms, left: length };
    this.written = { begin: text.value, uniforms, rngSeed };
    this.#showState();
    this.changed();
  }

  stop() {
    if (this.writing === null) return;
    this.writing = null;
    this.written.end = text.value;
    this.#showState();
    this.changed();
  }

  /** Remove what was written last. */
  takeBack() {
    this.stop();
    text.value = this.written.begin;
    this.written = null;
    this.edited();
  }

  /** End here; the next line is the next sample of the same random seed, as `--samples` counts. */
  #endLine() {
    this.writing.left = 0;
    this.written.uniforms = new UniformStream(this.written.rngSeed, this.written.uniforms.sample + 1);
  }

  /** Write a few characters; in lines mode the end of a line is the end. */
  #writeSome() {
    const { sampler, uniforms } = this.writing;
    this.transcript.open();
    let added = "";
    for (let count = 0; count < CHARACTERS_A_FRAME && this.writing.left > 0; count++) {
      const id = sampler.draw(this.transcript.logits, uniforms.next());
      this.writing.left -= 1;
      const isEnd = id === this.model.vocabulary.eosId;
      const char = isEnd ? "\n" : this.model.vocabulary.characters[id];
      if (isEnd) this.#endLine();
      this.transcript.append(char);
      added += char;
    }
    const atEnd = sheetIsAtEnd();
    const { length } = text.value;
    text.setRangeText(added, length, length, text.selectionStart === length ? "end" : "preserve");
    if (this.writing.left <= 0 || text.value.length >= LONGEST_TEXT) this.stop();
    return atEnd;
  }

  // --- Work between frames ----------------------------------------------------------------------

  changed() {
    if (this.frame === undefined) this.frame = requestAnimationFrame(() => this.#work());
  }

  #work() {
    this.frame = undefined;
    const before = this.transcript.done;
    const begin = performance.now();
    this.transcript.readFor(WORK_MILLISECONDS);
    const follow = this.writing && this.transcript.isComplete && this.#writeSome();
    this.#measure(this.transcript.done - before, performance.now() - begin);
    this.#mark();
    if (follow) sheet.scrollTop = sheet.scrollHeight;
    this.#showState();
    this.showExpected();
    if (this.writing || !this.transcript.isComplete) this.changed();
  }

  #measure(characters, milliseconds) {
    if (characters === 0) return;
    this.speed.characters += characters;
    this.speed.milliseconds += milliseconds;
  }

  #showState() {
    const { transcript } = this;
    show(byId("write"), this.writing ? "Stop" : "Write on");
    byId("back").disabled = this.written === null || this.written.begin === text.value;
    const facts = [`${number.format(transcript.chars.length)} characters`];
    if (!transcript.isComplete) facts.push(`${number.format(transcript.done)} read`);
    const mean = transcript.bitsPerCharacter;
    if (!Number.isNaN(mean)) facts.push(`${mean.toFixed(2)} bits per character`);
    const speed = Math.round((1000 * this.speed.characters) / this.speed.milliseconds);
    if (this.speed.characters >= FEWEST_TO_MEASURE) facts.push(`${number.format(speed)} characters a second`);
    show(byId("counts"), facts.join(" · "));
  }

  // --- Colours ----------------------------------------------------------------------------------

  recolour() {
    const byUnit = byId("by-unit").checked;
    byId("surprisal-legend").hidden = byUnit;
    byId("unit-legend").hidden = !byUnit;
    byId("unit-name").textContent = unitName(Number(byId("unit").value), this.model.network);
    this.coloured = 0;
    this.changed();
  }

  /** Bring the marks up to date: a mark for each character, coloured where it has been read. */
  #mark() {
    const { chars, done } = this.transcript;
    while (marks.children.length > chars.length) marks.lastChild.remove();
    for (; this.placed < chars.length; this.placed++) {
      const mark = marks.children[this.placed] ?? marks.appendChild(document.createElement("span"));
      mark.textContent = chars[this.placed];
      mark.style.setProperty("--heat", 0);
    }
    const heatAt = this.#heat();
    for (; this.coloured < done; this.coloured++) {
      const mark = marks.children[this.coloured];
      const heat = heatAt(this.coloured);
      mark.style.setProperty("--heat", Math.min(1, Math.abs(heat)).toFixed(3));
      mark.classList.toggle("cold", heat < 0);
    }
  }

  /** What colours a character, from -1 to 1: its bits, or what a unit holds after it. */
  #heat() {
    if (!byId("by-unit").checked) return (at) => this.transcript.bits[at] / HOTTEST_BITS;
    const unit = Number(byId("unit").value);
    return (at) => this.transcript.activation(at, unit);
  }

  // --- What was expected ------------------------------------------------------------------------

  hover(place) {
    if (place === this.hovered) return;
    this.hovered = place;
    this.showExpected();
  }

  /** Show the likeliest characters where the pointer is, or else at the cursor. */
  showExpected() {
    const { chars, bits, expected, done } = this.transcript;
    const caret = Array.from(text.value.slice(0, text.selectionStart)).length;
    const place = Math.min(this.hovered ?? caret, chars.length);
    for (const mark of marks.querySelectorAll(".here")) mark.classList.remove("here");
    if (this.hovered !== null) marks.children[place]?.classList.add("here");
    show(byId("place"), place > done ? "Not read yet." : describe(chars[place], bits[place], chars.length));
    const target = place < chars.length ? this.transcript.reader.targetOf(chars[place]) : null;
    const { characters } = this.model.vocabulary;
    const items = (place > done ? [] : expected[place]).map(({ id, probability }) =>
      candidate(characters[id], probability, id === target),
    );
    byId("expected").replaceChildren(...items);
  }
}

function describe(char, bits, length) {
  if (char === undefined && length === 0) return "What a text begins with.";
  if (char === undefined) return "What comes next, after the last character.";
  if (bits === undefined) return "Not read yet.";
  if (bits === null) return `${quoted(char)} stands at the beginning, where nothing is expected.`;
  return `${quoted(char)} stands here: ${bits.toFixed(2)} bits, a probability of ${percent.format(2 ** -bits)}.`;
}

function candidate(char, probability, stands) {
  const item = element("li", stands ? "stands" : "");
  const name = shown(char);
  const bar = element("span", "bar");
  bar.style.setProperty("--share", probability);
  item.append(
    element("span", name === char ? "char" : "char word", name),
    bar,
    element("span", "percent", percent.format(probability)),
  );
  return item;
}

function unitName(unit, { hidden, layers }) {
  const name = number.format((unit % hidden) + 1);
  return layers > 1 ? `${name} of layer ${Math.floor(unit / hidden) + 1}` : name;
}

/** The place of the mark under the pointer; null if there is none. */
function markAt(event) {
  const below = document.elementsFromPoint(event.clientX, event.clientY);
  const mark = below.find((each) => each.parentElement === marks);
  return mark ? Array.prototype.indexOf.call(marks.children, mark) : null;
}

function sheetIsAtEnd() {
  return sheet.scrollTop + sheet.clientHeight > sheet.scrollHeight - 40;
}

// --- Settings -----------------------------------------------------------------------------------

function notice(message) {
  show(byId("notice"), message);
}

function newRngSeed() {
  return String(Math.floor(Math.random() * RNG_SEED_LIMIT));
}

function showSliders() {
  byId("temperature-value").textContent = Number(byId("temperature").value).toFixed(2);
  byId("top-p-value").textContent = Number(byId("top-p").value).toFixed(2);
}

/** The settings of the form; null, and the first wrong field in focus, if one is out of its range. */
function readSettings() {
  for (const id of ["top-k", "min-p", "length", "rng-seed"]) {
    const field = byId(id);
    if (field.value === "" || !field.reportValidity()) {
      field.focus();
      return null;
    }
  }
  const value = (id) => Number(byId(id).value);
  return {
    temperature: value("temperature"),
    topP: value("top-p"),
    topK: value("top-k"),
    minP: value("min-p"),
    length: value("length"),
    rngSeed: byId("rng-seed").value,
  };
}

model.then(
  (loaded) => new Page(loaded),
  (error) => notice(`The model in this file cannot be read: ${error.message}`),
);
