// The page's network under node: `node --test` with CASES naming a JSON file, as pytest runs it
// (tests/export/test_engine.py, which makes the file with NumPy).

"use strict";

const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { test } = require("node:test");

const PAGE = join(__dirname, "..", "..", "charrnn", "export", "page");
const { Model, Sampler, Vocabulary, readTensors } = require(join(PAGE, "engine.js"));
const { Transcript } = require(join(PAGE, "transcript.js"));

const cases = JSON.parse(readFileSync(process.env.CASES, "utf8"));

function modelOf({ page }) {
  const inside = (id) => page.split(`id="${id}">`)[1].split("</script>")[0];
  const weights = Uint8Array.from(Buffer.from(inside("weights"), "base64"));
  return new Model(JSON.parse(inside("description")), weights);
}

function assertClose(found, expected, tolerance) {
  assert.equal(found.length, expected.length);
  found.forEach((value, at) => {
    if (Array.isArray(value)) assertClose(value, expected[at], tolerance);
    else if (value === null || expected[at] === null) assert.equal(value, expected[at]);
    else assert.ok(Math.abs(value - expected[at]) <= tolerance, `${value} is not ${expected[at]}`);
  });
}

for (const [name, each] of Object.entries(cases)) {
  test(`logits and surprisal of ${name} are NumPy's`, () => {
    const model = modelOf(each);
    assertClose(model.logits(each.text), each.logits, 1e-4);
    assertClose(model.surprisal(each.text), each.bits, 1e-4);
  });

  test(`${name} writes the command line's text`, () => {
    const model = modelOf(each);
    for (const [seed, options, expected] of each.jobs) assert.equal(model.generate(seed, options), expected);
  });

  test(`a text that is edited is read as a new one by ${name}`, () => {
    const model = modelOf(each);
    const transcript = new Transcript(model);
    for (const text of ["the lazy dog", each.text, each.text.slice(0, 40) + "zz", "", "a", each.text.slice(3)]) {
      transcript.setText(text);
      transcript.readFor(Infinity);
      assertClose(transcript.bits, model.surprisal(text), 1e-6);
      assert.equal(transcript.expected.length, text.length + 1);
    }
  });
}

test("a character that the model does not know is refused as a seed and read as <unk>", () => {
  const model = modelOf(Object.values(cases)[0]);
  assert.throws(() => model.generate("né"), /does not know the character "é"/);
  assert.equal(model.generate("né", { unknown: "replace", length: 5, rngSeed: 1 }).length, 5);
  assert.ok(model.surprisal("né")[1] > 0);
});

test("a seed is normalised as the text was that the model learned", () => {
  const model = modelOf(Object.values(cases)[0]);
  assert.throws(() => model.generate("e\u0301"), /"\u0301"/);
  model.isNfc = true;
  assert.throws(() => model.generate("e\u0301"), /"é"/);
});

test("a character beyond the basic plane is one character", () => {
  const vocabulary = new Vocabulary(["<pad>", "<unk>", "a", "😀"], "stream");
  assert.equal(vocabulary.idOf("😀"), 3);
  assert.deepEqual(vocabulary.unknownIn("a😀b😁"), ["b", "😁"]);
});

test("of equally likely characters top-k and top-p keep those with the lower ids", () => {
  const vocabulary = new Vocabulary(["<pad>", "<unk>", ..."abcdef"], "stream");
  const logits = new Float32Array(vocabulary.size).fill(1);
  const drawn = (settings) => {
    const sampler = new Sampler({ temperature: 1, topK: 0, topP: 1, minP: 0, ...settings }, vocabulary);
    return new Set(Array.from({ length: 200 }, (_, at) => sampler.draw(logits, (at + 1) / 200)));
  };
  assert.deepEqual(drawn({ topK: 2 }), new Set([2, 3]));
  assert.deepEqual(drawn({ topP: 0.5 }), new Set([2, 3, 4]));
  assert.deepEqual(drawn({}), new Set([2, 3, 4, 5, 6, 7]));
});

test("bfloat16 is read as the upper half of a float32", () => {
  const bytes = new Uint8Array([0x80, 0x3f, 0x49, 0xc0]);
  const { a } = readTensors(bytes, { dtype: "bfloat16", tensors: [["a", 2]] });
  assert.deepEqual(Array.from(a), [1, -3.140625]);
});

test("settings out of their range are refused", () => {
  const model = modelOf(Object.values(cases)[0]);
  for (const options of [{ temperature: -1 }, { topP: 0 }, { topK: -1 }, { minP: 2 }, { rngSeed: -1 }, { rngSeed: 2n ** 63n }]) {
    assert.throws(() => model.generate("a", options), RangeError);
  }
});
