// The network of a charrnn run: reads characters, predicts the next one, draws it.
//
// It computes what charrnn/inference, charrnn/generation/rng.py and charrnn/generation/sampling.py
// compute with NumPy: weights and states are float32, sums are taken in JavaScript's own float64,
// and where the rounding decides on a character (a weight, a tie), it is rounded as NumPy rounds.
// Nothing here knows of a page: `node` runs this file as it stands.
//
// Names of arrays end in their shape: L layers, H hidden units, G gate rows, E embedding,
// V vocabulary.

"use strict";

const GATES = { lstm: 4, gru: 3, rnn: 1 };
const STATE_PARTS = { lstm: 2, gru: 1, rnn: 1 };
const TABLE_LIMIT_BYTES = 64 << 20;
const UNKNOWN_ID = 1;
const COLDEST = 1e-30;

// --- Characters ---------------------------------------------------------------------------------

/** The characters in id order, first the special ones: <pad>, <unk>, in lines mode <bos>, <eos>. */
class Vocabulary {
  constructor(characters, mode) {
    this.characters = characters;
    this.hasLines = mode === "lines";
    this.bosId = this.hasLines ? 2 : null;
    this.eosId = this.hasLines ? 3 : null;
    this.specials = this.hasLines ? 4 : 2;
    /** The lowest id that is ever drawn. */
    this.firstDrawn = this.hasLines ? this.eosId : this.specials;
    this.ids = new Map(characters.slice(this.specials).map((char, at) => [char, at + this.specials]));
    /** Examples of several lines have line ends within; only a single line ends there. */
    this.endsWithLine = this.hasLines && !this.ids.has("\n");
  }

  get size() {
    return this.characters.length;
  }

  /** The id of a character; that of <unk> if it has none of its own. */
  idOf(char) {
    return this.ids.get(char) ?? UNKNOWN_ID;
  }

  /** What a text in stream mode begins with if nothing is given: a line's end, or else a space. */
  get openingId() {
    return this.ids.get("\n") ?? this.ids.get(" ") ?? this.specials;
  }

  /** The characters of a text that the network does not know, each once. */
  unknownIn(text) {
    const isLineEnd = (char) => this.endsWithLine && char === "\n";
    return [...new Set(text)].filter((char) => !this.ids.has(char) && !isLineEnd(char));
  }
}

// --- The network --------------------------------------------------------------------------------

/** Arrays by name, out of the bytes of all weights, one after the other. */
function readTensors(bytes, { dtype, tensors }) {
  const { buffer, byteOffset, byteLength } = bytes;
  const numbers = dtype === "bfloat16" ? widened(bytes) : new Float32Array(buffer, byteOffset, byteLength / 4);
  const found = {};
  let at = 0;
  for (const [name, ...shape] of tensors) {
    const count = shape.reduce((product, size) => product * size, 1);
    found[name] = numbers.subarray(at, at + count);
    at += count;
  }
  return found;
}

/** bfloat16 is the upper half of a float32. */
function widened(bytes) {
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
  const words = Uint32Array.from(halves, (half) => half << 16);
  return new Float32Array(words.buffer);
}

/** sums[r] += matrix[r] . vector[from...] for every row; four rows share each read of the vector. */
function addProduct(sums, matrix, vector, from, columns) {
  const rows = sums.length;
  let row = 0;
  for (; row + 3 < rows; row += 4) {
    const first = row * columns;
    const second = first + columns;
    const third = second + columns;
    const fourth = third + columns;
    let a = 0;
    let b = 0;
    let c = 0;
    let d = 0;
    for (let k = 0; k < columns; k++) {
      const x = vector[from + k];
      a += matrix[first + k] * x;
      b += matrix[second + k] * x;
      c += matrix[third + k] * x;
      d += matrix[fourth + k] * x;
    }
    sums[row] += a;
    sums[row + 1] += b;
    sums[row + 2] += c;
    sums[row + 3] += d;
  }
  for (; row < rows; row++) {
    let sum = 0;
    for (let k = 0; k < columns; k++) sum += matrix[row * columns + k] * vector[from + k];
    sums[row] += sum;
  }
}

function sigmoid(x) {
  return 1 / (1 + Math.exp(-x));
}

/** A trained network; a state is the caller's: h of every layer, then an LSTM's c of every layer. */
class Network {
  constructor(sizes, tensors) {
    const { cell, layers, hidden_size: hidden } = sizes;
    this.cell = cell;
    this.networks = sizes.ensemble_size; // whose units lie side by side
    this.layers = layers;
    this.hidden = hidden;
    this.vocabularySize = sizes.vocabulary_size;
    this.gates = GATES[cell] * hidden;
    this.tensors = tensors;
    this.isOneHot = sizes.input === "onehot";
    this.embeddingSize = sizes.embedding_size;
    this.output = tensors[sizes.tie_weights ? "embedding.weight" : "output.weight"];
    this.biases = Array.from({ length: layers }, (_, layer) => this.#bias(layer));
    this.sums = new Float32Array(this.gates);
    this.recurrent = new Float32Array(this.gates); // a GRU's: its reset gate scales a part of them
    this.own = new Float32Array(this.gates / this.networks);
    const fits = this.vocabularySize * this.gates * 4 <= TABLE_LIMIT_BYTES;
    this.table = fits ? this.#inputTable() : null;
  }

  newState() {
    return new Float32Array(STATE_PARTS[this.cell] * this.layers * this.hidden);
  }

  /** Move a state on by one character. */
  read(state, id) {
    for (let layer = 0; layer < this.layers; layer++) {
      const at = layer * this.hidden;
      if (layer === 0) {
        this.#setInput(id);
      } else {
        const below = this.tensors[`rnn.weight_ih_l${layer}`];
        this.sums.set(this.biases[layer]);
        this.#addProducts(this.sums, below, state, at - this.hidden, this.hidden);
      }
      if (this.cell === "gru") this.#stepGru(state, at, layer);
      else if (this.cell === "lstm") this.#stepLstm(state, at, layer);
      else this.#stepRnn(state, at, layer);
    }
  }

  /** The logits of what comes next (V), in a new array. */
  predict(state) {
    const logits = this.tensors["output.bias"].slice();
    addProduct(logits, this.output, state, (this.layers - 1) * this.hidden, this.hidden);
    return logits;
  }

  /** sums += matrix . vector[from...], where each network of an ensemble has a matrix of its own. */
  #addProducts(sums, matrix, vector, from, columns) {
    const { networks, own, hidden } = this;
    if (networks === 1) {
      addProduct(sums, matrix, vector, from, columns);
      return;
    }
    const width = columns / networks;
    const units = hidden / networks;
    for (let network = 0; network < networks; network++) {
      const begin = network * own.length * width;
      own.fill(0);
      addProduct(own, matrix.subarray(begin, begin + own.length * width), vector, from + network * width, width);
      for (let row = 0; row < own.length; row++) {
        const gate = Math.floor(row / units);
        sums[gate * hidden + network * units + (row % units)] += own[row];
      }
    }
  }

  /** h' = tanh(W x + b). */
  #stepRnn(state, at, layer) {
    this.#addProducts(this.sums, this.tensors[`rnn.weight_hh_l${layer}`], state, at, this.hidden);
    for (let unit = 0; unit < this.hidden; unit++) state[at + unit] = Math.tanh(this.sums[unit]);
  }

  /** c' = f c + i g, h' = o tanh(c'); torch's order of gates is i, f, g, o. */
  #stepLstm(state, at, layer) {
    const { sums, hidden } = this;
    this.#addProducts(sums, this.tensors[`rnn.weight_hh_l${layer}`], state, at, hidden);
    const cells = this.layers * hidden + at;
    for (let unit = 0; unit < hidden; unit++) {
      const input = sigmoid(sums[unit]);
      const forget = sigmoid(sums[hidden + unit]);
      const candidate = Math.tanh(sums[2 * hidden + unit]);
      const output = sigmoid(sums[3 * hidden + unit]);
      const cell = Math.fround(forget * state[cells + unit] + input * candidate);
      state[cells + unit] = cell;
      state[at + unit] = output * Math.tanh(cell);
    }
  }

  /** n = tanh(W_in x + b_in + r (W_hn h + b_hn)), h' = n + z (h - n); the order is r, z, n. */
  #stepGru(state, at, layer) {
    const { sums, recurrent, hidden } = this;
    recurrent.set(this.tensors[`rnn.bias_hh_l${layer}`]);
    this.#addProducts(recurrent, this.tensors[`rnn.weight_hh_l${layer}`], state, at, hidden);
    for (let unit = 0; unit < hidden; unit++) {
      const reset = sigmoid(sums[unit] + recurrent[unit]);
      const update = sigmoid(sums[hidden + unit] + recurrent[hidden + unit]);
      const candidate = Math.tanh(sums[2 * hidden + unit] + reset * recurrent[2 * hidden + unit]);
      state[at + unit] = candidate + update * (state[at + unit] - candidate);
    }
  }

  /** What is added whatever is read: both biases of torch's layer; of a GRU's the input's alone. */
  #bias(layer) {
    const bias = this.tensors[`rnn.bias_ih_l${layer}`].slice();
    if (this.cell === "gru") return bias;
    return bias.map((value, row) => value + this.tensors[`rnn.bias_hh_l${layer}`][row]);
  }

  /** Set the first layer's sums to what a character adds to them. */
  #setInput(id) {
    if (this.table) this.sums.set(this.table.subarray(id * this.gates, (id + 1) * this.gates));
    else this.#multiplyInput(id, this.sums);
  }

  #multiplyInput(id, sums) {
    const matrix = this.tensors["rnn.weight_ih_l0"];
    sums.set(this.biases[0]);
    if (this.isOneHot) {
      for (let row = 0; row < this.gates; row++) sums[row] += matrix[row * this.vocabularySize + id];
    } else {
      const { embeddingSize } = this;
      const embedding = this.tensors["embedding.weight"];
      this.#addProducts(sums, matrix, embedding, id * embeddingSize, embeddingSize);
    }
  }

  /** One row (G) for each id: embedding, input weights and biases in one look-up. */
  #inputTable() {
    const table = new Float32Array(this.vocabularySize * this.gates);
    for (let id = 0; id < this.vocabularySize; id++) {
      this.#multiplyInput(id, table.subarray(id * this.gates, (id + 1) * this.gates));
    }
    return table;
  }
}

// --- Reading ------------------------------------------------------------------------------------

/** A network in the middle of a text: in stream mode all of it, in lines mode a line at a time. */
class Reader {
  constructor(network, vocabulary) {
    this.network = network;
    this.vocabulary = vocabulary;
    this.state = network.newState();
    this.hasRead = false;
    if (vocabulary.hasLines) this.readId(vocabulary.bosId);
  }

  readId(id) {
    this.network.read(this.state, id);
    this.hasRead = true;
  }

  /** Read a character; in lines mode a line's end begins the next line, with an empty memory. */
  read(char) {
    if (this.vocabulary.endsWithLine && char === "\n") {
      this.state.fill(0);
      this.readId(this.vocabulary.bosId);
    } else {
      this.readId(this.vocabulary.idOf(char));
    }
  }

  /** The logits of what comes next (V); null before the first character of a stream. */
  predict() {
    return this.hasRead ? this.network.predict(this.state) : null;
  }

  /** The id that is the target where a character comes next. */
  targetOf(char) {
    const { endsWithLine, eosId } = this.vocabulary;
    return endsWithLine && char === "\n" ? eosId : this.vocabulary.idOf(char);
  }
}

/** The natural logarithm of each probability (V). */
function logSoftmax(logits) {
  const highest = logits.reduce((most, logit) => Math.max(most, logit), -Infinity);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - highest), 0);
  return Float64Array.from(logits, (logit) => logit - highest - Math.log(sum));
}

// --- Random numbers -----------------------------------------------------------------------------

const WORD = (value) => BigInt.asUintN(64, value);
const STEP = 0x9e3779b97f4a7c15n;

/** SplitMix64's finaliser (Steele, Lea and Flood 2014), Stafford's variant 13. */
function scrambled(word) {
  word = WORD((word ^ (word >> 30n)) * 0xbf58476d1ce4e5b9n);
  word = WORD((word ^ (word >> 27n)) * 0x94d049bb133111ebn);
  return word ^ (word >> 31n);
}

/** The uniform numbers in (0, 1] that `charrnn generate` draws with, of one sample. */
class UniformStream {
  constructor(rngSeed, sample = 0, position = 0) {
    const seed = BigInt(rngSeed);
    if (seed < 0n || seed >= 2n ** 63n) {
      throw new RangeError("the random seed must be from 0 up to 2**63 - 1");
    }
    this.sample = sample;
    this.key = scrambled(WORD(scrambled(seed) + WORD(BigInt(sample + 1) * STEP)));
    this.position = position;
  }

  next() {
    const word = scrambled(WORD(BigInt(this.position++) * STEP + this.key));
    return (Number(word >> 11n) + 1) * 2 ** -53;
  }
}

// --- Drawing ------------------------------------------------------------------------------------

/** Draws ids: temperature, then top-k, top-p and min-p, then one uniform number by inversion. */
class Sampler {
  constructor({ temperature, topK, topP, minP }, vocabulary) {
    if (!(temperature >= 0)) throw new RangeError("temperature must be 0 or more");
    if (!(topK >= 0)) throw new RangeError("topK must be 0 or more");
    if (!(topP > 0 && topP <= 1)) throw new RangeError("topP must be above 0 and at most 1");
    if (!(minP >= 0 && minP <= 1)) throw new RangeError("minP must be from 0 to 1");
    this.settings = { temperature, topK, topP, minP };
    this.first = vocabulary.firstDrawn;
    this.coldness = Math.fround(1 / Math.max(temperature, COLDEST));
    this.weights = new Float64Array(vocabulary.size - this.first);
  }

  /** Draw an id with a number in (0, 1], which temperature 0 does not use. */
  draw(logits, uniform) {
    let best = this.first;
    for (let id = this.first; id < logits.length; id++) if (logits[id] > logits[best]) best = id;
    if (Number.isNaN(logits[best])) throw new Error("the network's prediction is not a number");
    if (this.settings.temperature === 0) return best;
    this.#weigh(logits, logits[best]);
    const total = this.weights.reduce((sum, weight) => sum + weight, 0);
    const wanted = uniform * total;
    let sum = 0;
    for (let at = 0; at < this.weights.length; at++) {
      sum += this.weights[at];
      if (sum >= wanted) return at + this.first;
    }
    throw new Error("the network's prediction is not a number");
  }

  #weigh(logits, highest) {
    const { topK, topP, minP } = this.settings;
    const { weights } = this;
    for (let at = 0; at < weights.length; at++) {
      const scaled = Math.fround(Math.fround(logits[at + this.first] - highest) * this.coldness);
      weights[at] = Math.fround(Math.exp(scaled));
    }
    if (topK > 0) keepLargest(weights, Math.min(topK, weights.length));
    if (topP < 1) keepLargest(weights, nucleusSize(weights, topP));
    if (minP > 0) {
      const least = minP * weights.reduce((most, weight) => Math.max(most, weight), 0);
      weights.forEach((weight, at) => { if (weight < least) weights[at] = 0; });
    }
  }
}

/** Keep so many of the largest weights; among equal ones those with the lower ids. */
function keepLargest(weights, count) {
  const smallest = weights.slice().sort()[weights.length - count];
  let ties = count - weights.reduce((larger, weight) => larger + (weight > smallest), 0);
  weights.forEach((weight, at) => {
    if (weight < smallest || (weight === smallest && ties-- <= 0)) weights[at] = 0;
  });
}

/** The fewest weights whose sum is at least a share of the sum of all (Holtzman et al. 2020). */
function nucleusSize(weights, share) {
  const falling = weights.slice().sort().reverse();
  const total = falling.reduce((sum, weight) => sum + weight, 0);
  let sum = 0;
  for (let count = 0; count < falling.length; count++) {
    sum += falling[count];
    if (sum >= share * total) return count + 1;
  }
  return falling.length;
}

// --- The model ----------------------------------------------------------------------------------

/** A run's network with its characters and its own options: what `window.charrnn` calls. */
class Model {
  constructor(description, bytes) {
    this.name = description.name;
    this.isNfc = description.normalize === "nfc";
    this.defaults = description.defaults;
    this.vocabulary = new Vocabulary(description.characters, description.sizes.mode);
    this.network = new Network(description.sizes, readTensors(bytes, description.weights));
  }

  reader() {
    return new Reader(this.network, this.vocabulary);
  }

  /** A text, normalised as the text that the model learned was. */
  normalized(text) {
    return this.isNfc ? text.normalize("NFC") : text;
  }

  /** Continue a seed: the text that `charrnn generate --seed SEED --rng-seed N` writes after it. */
  generate(given, options = {}) {
    const seed = this.normalized(given);
    const { rngSeed = 0, length, unknown = "error", ...settings } = { ...this.defaults, ...options };
    const odd = this.vocabulary.unknownIn(seed);
    if (this.vocabulary.endsWithLine && seed.includes("\n")) odd.push("\n");
    if (odd.length && unknown === "error") {
      throw new RangeError(`the model does not know the character ${JSON.stringify(odd[0])}`);
    }
    const sampler = new Sampler(settings, this.vocabulary);
    const uniforms = new UniformStream(rngSeed);
    const reader = this.reader();
    for (const char of seed) reader.readId(this.vocabulary.idOf(char));
    if (!reader.hasRead) reader.readId(this.vocabulary.openingId);
    let text = "";
    for (let made = 0; made < length; made++) {
      const id = sampler.draw(reader.predict(), uniforms.next());
      if (id === this.vocabulary.eosId) break;
      text += this.vocabulary.characters[id];
      reader.readId(id);
    }
    return text;
  }

  /** What each character of a text costs, in bits; null where nothing could be predicted. */
  surprisal(text) {
    const reader = this.reader();
    return Array.from(text, (char) => {
      const logits = reader.predict();
      const bits = logits && -logSoftmax(logits)[reader.targetOf(char)] / Math.LN2;
      reader.read(char);
      return bits;
    });
  }

  /** The logits after each character of a text, (T, V); in lines mode those after <bos> first. */
  logits(text) {
    const reader = this.reader();
    const rows = reader.hasRead ? [Array.from(reader.predict())] : [];
    for (const char of text) {
      reader.read(char);
      rows.push(Array.from(reader.predict()));
    }
    return rows;
  }
}

if (typeof module !== "undefined") {
  module.exports = { Model, Network, Reader, Sampler, UniformStream, Vocabulary, logSoftmax, readTensors };
}
