"use strict";

// Colours the texts of a page and shows what is known of a character: under the pointer, or with
// the arrow keys. Each text's data is the JSON beside it (page.py writes it).

const STEPS = 127;
const UNKNOWN = -128;
const STRONG = 80; // from here on black is read better than white, on dark paper too
const POSITIVE = [240, 120, 50];
const NEGATIVE = [80, 155, 235];
const INVISIBLE = /^[\p{C}\p{Z}]$/u;
const tip = document.getElementById("tip");

function tint(share) {
  return `rgb(${(share >= 0 ? POSITIVE : NEGATIVE).join(" ")} / ${Math.abs(share)})`;
}

function visible(char) {
  if (char === " ") return "␣";
  if (/^\p{M}/u.test(char)) return `◌${char}`;
  return INVISIBLE.test(char) ? escaped(char) : char;
}

function escaped(char) {
  const names = { "\n": "\\n", "\t": "\\t", "\r": "\\r" };
  const code = char.codePointAt(0);
  const [letter, digits] = code < 0x100 ? ["x", 2] : code < 0x10000 ? ["u", 4] : ["U", 8];
  return names[char] ?? `\\${letter}${code.toString(16).padStart(digits, "0")}`;
}

function bytesOf(base64) {
  return Int8Array.from(atob(base64), (char) => char.charCodeAt(0));
}

// Marks and joiners belong to the character before them, so that scripts are shaped as they should.
function clustersOf(characters) {
  const clusters = [];
  characters.forEach((char, at) => {
    const joins = /^[\p{M}\u200c\u200d]$/u.test(char) && characters[at - 1] !== "\n";
    if (joins && clusters.length) clusters.at(-1).push(at);
    else clusters.push([at]);
  });
  return clusters;
}

function spanOf(char) {
  const span = document.createElement("span");
  if (char === "\n") {
    span.className = "control";
    span.textContent = "⏎\n";
  } else if (visible(char) !== char && !/^[\t\p{Zs}]$/u.test(char)) {
    span.className = "control";
    span.textContent = visible(char);
  } else {
    span.textContent = char;
  }
  return span;
}

// The number of a cluster is that of its character farthest from 0.
function colour(spans, clusters, bytes) {
  spans.forEach((span, number) => {
    const known = clusters[number].map((at) => bytes[at]).filter((byte) => byte !== UNKNOWN);
    const byte = known.reduce((far, next) => (Math.abs(next) > Math.abs(far) ? next : far), 0);
    span.style.background = known.length ? tint(byte / STEPS) : "";
    span.classList.toggle("strong", known.length > 0 && Math.abs(byte) > STRONG);
  });
}

// With a mark after it, so that the number beside an Arabic letter stays at its right.
function named(char) {
  return `${visible(char)}\u200e`;
}

function descriptionOf(data, bytes, at) {
  const lines = [named(data.characters[at])];
  if (data.numbers) {
    const number = data.numbers[at];
    lines[0] += number === null ? "  could not be predicted" : `  ${number.toFixed(2)} ${data.unit}`;
  } else if (bytes[at] !== UNKNOWN) {
    lines[0] += `  ${(bytes[at] / STEPS).toFixed(2)}`;
  }
  for (const [char, share] of data.likeliest[at] ?? []) {
    lines.push(`${named(char)}  ${(100 * share).toFixed(1)} %`);
  }
  return lines.join("\n");
}

function showTip(text, span) {
  tip.textContent = text;
  tip.hidden = false;
  const place = span.getBoundingClientRect();
  const below = place.bottom + 8 + tip.offsetHeight < window.innerHeight;
  const left = Math.min(place.left, window.innerWidth - tip.offsetWidth - 8);
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${below ? place.bottom + 8 : place.top - 8 - tip.offsetHeight}px`;
}

function scaleOf(data) {
  const scale = document.createElement("div");
  const from = data.most === null ? -1 : 0;
  const bar = document.createElement("i");
  bar.style.background = `linear-gradient(to right, ${tint(from)}, ${tint(0)}, ${tint(1)})`;
  if (from === 0) bar.style.background = `linear-gradient(to right, ${tint(0)}, ${tint(1)})`;
  const high = data.most === null ? "1" : `${data.most} ${data.unit} or more`;
  scale.className = "scale";
  scale.append(String(from), bar, high);
  return scale;
}

function pickerOf(data, choose) {
  const picker = document.createElement("select");
  picker.setAttribute("aria-label", "hidden unit");
  data.channels.forEach((channel, at) => picker.add(new Option(channel.name, String(at))));
  picker.addEventListener("change", () => choose(Number(picker.value)));
  return picker;
}

function begin(box) {
  const data = JSON.parse(box.querySelector("script").textContent);
  const characters = box.querySelector(".characters");
  const clusters = clustersOf(data.characters);
  const spans = clusters.map((places) => spanOf(places.map((at) => data.characters[at]).join("")));
  spans.forEach((span, number) => {
    span.dataset.number = String(number);
  });
  let bytes = bytesOf(data.channels[0].bytes);
  let chosen = -1;
  colour(spans, clusters, bytes);
  spans.forEach((span) => characters.append(span));
  characters.before(scaleOf(data));
  if (data.channels.length > 1) {
    const choose = (channel) => {
      bytes = bytesOf(data.channels[channel].bytes);
      colour(spans, clusters, bytes);
      select(chosen);
    };
    characters.before(pickerOf(data, choose));
  }
  const select = (number) => {
    spans[chosen]?.classList.remove("chosen");
    chosen = number;
    tip.hidden = !spans[number];
    if (tip.hidden) return;
    spans[number].classList.add("chosen");
    const parts = clusters[number].map((at) => descriptionOf(data, bytes, at));
    showTip(parts.join("\n\n"), spans[number]);
  };
  characters.addEventListener("mouseover", (event) => {
    select(Number(event.target.dataset.number ?? -1));
  });
  characters.addEventListener("mouseleave", () => select(-1));
  characters.addEventListener("blur", () => select(-1));
  characters.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(spans.length - 1, chosen + step));
    spans[next].scrollIntoView({ block: "nearest" });
    select(next);
  });
}

document.querySelectorAll(".text").forEach(begin);
