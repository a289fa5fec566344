"""The one typed schema of the YAML configuration: every field with default, range and meaning.

The annotation of a field says what it accepts, and the string under it is its documentation:
validation, error messages, the JSON Schema and `docs/configuration.md` are all made from these
two. Nothing here reads a file, so that what only looks at settings stays quick to start.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta

Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]
CountOrZero = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]
WIDEST = 65_536
Width = Annotated[int, Meta(ge=1, le=WIDEST)]
Dropout = Annotated[float, Meta(ge=0, lt=1)]
Name = Annotated[str, Meta(min_length=1)]
Sha256 = Annotated[
    str, Meta(pattern="^[0-9a-fA-F]{64}$", max_length=64, title="64 hexadecimal digits")
]


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """What is read, and how text becomes ids."""

    source: Name | Annotated[list[Name], Meta(min_length=1)] = "builtin:python-docs"
    """A file, a directory, an http(s) URL, `-` for stdin, `builtin:python-docs`, `builtin:names`, a
    prepared text, or several; compressed files (gz, xz, bz2, zst) are read as what is in them."""
    valid_source: Name | Annotated[list[Name], Meta(min_length=1)] | None = None
    """A text of its own for validation, named as source is; all of source is then for training."""
    include: Name | list[Name] = field(default_factory=list)
    """Directories: read only files whose name, path or directory matches one of these patterns
    (`*.txt`); none reads all."""
    exclude: Name | list[Name] = field(default_factory=list)
    """Directories: leave out files whose name, path or directory matches one of these patterns."""
    not_text: Literal["skip", "refuse"] = "skip"
    """Directories: what to do about files that are not text: leave them out, named, or stop."""
    sha256: Sha256 | None = None
    """The SHA-256 that the source must have, in hexadecimal; null takes whatever comes."""
    unit: Literal["character", "byte"] = "character"
    """What one id stands for: a character, or a byte of the file, whatever the file is. Bytes are
    how enwik8 and text8 are measured."""
    mode: Literal["stream", "lines", "examples"] = "stream"
    """stream: one long text. lines: one example a line, each with a learned begin and end.
    examples: the same with examples of any form, such as poems; data.separator divides them."""
    separator: Annotated[str, Meta(min_length=1, max_length=1000)] = "blank"
    """Examples mode: what stands between two examples. blank: blank lines. line: a line end.
    file: nothing, every file is one. Anything else is that very text."""
    max_length: Count | None = 5_000
    """The most characters of a line or example; a longer one is refused, by its number."""
    truncate: bool = False
    """Cut lines and examples at max_length instead; what is cut has no learned end."""
    valid_fraction: Annotated[float, Meta(gt=0, le=0.5)] = 0.1
    """Share of the text that is held out for validation."""
    valid_chars: Count | None = None
    """Stream mode: the characters (or bytes) at the end of the text that are held out, in place of
    valid_fraction."""
    split: Literal["end", "blocks", "files"] = "end"
    """Stream mode: what is held out. end: the end of the text. blocks: the end of each of 20
    equal blocks (fewer in a short text). files: whole files, here and there among all."""
    encoding: str = "utf-8"
    """The text encoding of the source, by Python's name for it."""
    errors: Literal["strict", "replace"] = "strict"
    """What to do with bytes that do not decode: stop, or put U+FFFD in their place."""
    normalize: Literal["none", "nfc"] = "none"
    """Unicode normalisation before anything is counted."""
    min_count: Count = 1
    """Characters seen fewer times than this in the training part become <unk>."""
    shuffle: bool = False
    """Shuffle lines or examples before the split (for a sorted list, say)."""
    shuffle_seed: Seed = 1
    """The seed of that shuffle, apart from train.seed so that the split stays the same."""

    @property
    def sources(self) -> list[str]:
        """Every source, in order, also where there is only one."""
        return _listed(self.source)

    @property
    def patterns(self) -> tuple[list[str], list[str]]:
        """The patterns to include and to exclude."""
        return _listed(self.include), _listed(self.exclude)

    @property
    def valid_sources(self) -> list[str]:
        """The sources for validation alone; none where a part of the text is held out."""
        return _listed(self.valid_source or [])


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """The network: what it reads, what it remembers with, how large it is."""

    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    """The recurrent cell. rnn is the plain h' = tanh(W_x x + W_h h + b)."""
    input: Literal["embedding", "onehot"] = "embedding"
    """How a character enters: through a learned embedding, or as a one-hot vector."""
    embedding_size: Width = 64
    """Length of a character's embedding vector; unused with onehot."""
    hidden_size: Width = 384
    """Hidden units in each layer."""
    layers: Annotated[int, Meta(ge=1, le=64)] = 1
    """Recurrent layers, one on top of the other."""
    ensemble_size: Annotated[int, Meta(ge=1, le=64)] = 1
    """Networks of this size side by side, each of which learns by itself; they predict the mean of
    their logits, as a rule better than any of them does."""
    dropout: Dropout = 0.1
    """Share of each layer's output units dropped in training, the last layer's included."""
    input_dropout: Dropout = 0.0
    """Share of the embedding's units dropped in training; unused with onehot."""
    weight_dropout: Dropout = 0.0
    """Share of the recurrent weights dropped in each step of training (weight-drop, or
    DropConnect); keeps a large network from overfitting a small text."""
    tie_weights: bool = False
    """Use the embedding as the output matrix too; needs embedding_size = hidden_size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """How the network learns."""

    batch_size: Annotated[int, Meta(ge=1, le=65_536)] = 16
    """Parallel streams, lines or examples in a step."""
    sequence_length: Annotated[int, Meta(ge=1, le=65_536)] = 64
    """Stream mode: characters a step, through which gradients flow back."""
    cold_start_fraction: Dropout = 0.02
    """Stream mode: share of rows whose carried state is cleared before a step. A network that only
    ever reads on never learns to begin from nothing, as generation and windows do."""
    steps: Count = 3000
    """Optimiser steps; the learning rate has decayed to its last value at the end."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """What turns gradients into updates. muon makes those of the matrices between units orthogonal
    and leaves all other weights to AdamW: it learns far more from each step, and wants
    a learning_rate of 0.0075 and an adamw_rate_factor of 4 or so."""
    learning_rate: Annotated[float, Meta(gt=0, le=10)] = 0.004
    """The peak learning rate, reached after the warm-up."""
    adamw_rate_factor: Annotated[float, Meta(gt=0, le=1000)] = 1.0
    """How many times the learning rate AdamW has beside muon, for embedding, output and biases."""
    final_learning_rate_fraction: Annotated[float, Meta(ge=0, le=1)] = 0.02
    """The share of learning_rate that the cosine decay ends at."""
    average_fraction: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """The weights that are kept are a mean over about this last share of the steps so far; 0 keeps
    the weights as they are. Wants a learning rate that stays high: a final_learning_rate_fraction
    of 0.3 or so."""
    logit_scale: Annotated[float, Meta(ge=0.1, le=10)] = 1.0
    """What the logits of the kept weights are multiplied by, in the output layer: below 1 for a
    network that read its text often and is too sure of itself on others."""
    warmup_steps: CountOrZero = 50
    """Steps in which the learning rate rises linearly from zero."""
    weight_decay: Annotated[float, Meta(ge=0, le=10)] = 0.1
    """Decoupled weight decay, on matrices; biases are left alone."""
    clip_norm: Annotated[float, Meta(gt=0, le=1_000_000)] = 1.0
    """The largest gradient norm; a larger gradient is scaled down to it."""
    eval_every_steps: Count = 500
    """Steps between evaluations on the validation split."""
    eval_time_fraction: Annotated[float, Meta(gt=0, le=1)] = 0.1
    """About the share of the time that evaluations on the way may take: of a long validation split
    they read a part, spread evenly over it. The last evaluation reads all; 1 always reads all."""
    save_every_steps: Count = 500
    """Steps between saves of what --resume needs."""
    save_every_minutes: Annotated[float, Meta(gt=0, le=1_000_000)] | None = 10.0
    """A save is made at the latest after so many minutes, too; null counts steps alone."""
    keep: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """Older saves to keep beside the last one, for --resume --from-step."""
    log_every_steps: Count = 50
    """Steps between lines of metrics.jsonl; each holds the mean loss since the line before."""
    sample_every_steps: CountOrZero = 500
    """Steps between samples of what the network writes, shown and kept in samples.jsonl; 0 for
    none. They change nothing of what is learned."""
    patience: Count | None = None
    """Stop after this many evaluations in a row without a better loss; null never stops early."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Arithmetic of the forward and backward pass; auto times them and takes the fastest. float16
    is for a GPU alone."""
    kernel: Literal["auto", "torch", "native"] = "auto"
    """What moves a layer through time on a CPU: torch's own layers, or charrnn's kernels, which a
    C compiler makes in a moment. auto takes the faster, if a training is long enough to gain."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto is a GPU if there is one."""
    threads: Annotated[int, Meta(ge=1, le=1024)] | None = None
    """Parts of each batch, and networks of an ensemble, that a process computes side by side, a
    thread each; null measures."""
    parts: Annotated[int, Meta(ge=1, le=65_536)] | None = None
    """Parts that each batch is cut into. Threads and processes share them out, and take the same
    steps to the last bit however many they are; null is one for each thread of each process, or as
    many as are left for each network of an ensemble."""
    process_timeout_seconds: Annotated[float, Meta(ge=1, le=1_000_000)] = 300.0
    """Under torchrun: how long to wait for another process before giving the training up, for
    torchrun to begin it anew from the last save."""
    seed: Seed = 1
    """The random seed of weights, dropout and the order of the data."""


def described(default: Any, meaning: str) -> Any:
    """Declare a field by its default and its meaning, which `--help` shows, too."""
    return field(default=default, metadata={"help": meaning})


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateConfig:
    """This model's defaults for `charrnn generate`; options on the command line go first."""

    temperature: Annotated[float, Meta(ge=0, le=100)] = described(
        0.8,
        "Logits are divided by this: below 1 safer, above 1 wilder; "
        "0 always takes the most probable character.",
    )
    length: CountOrZero = described(
        500, "Characters to make, the seed not counted; 0 goes on for ever."
    )
    top_k: CountOrZero = described(0, "Only the K most probable characters; 0 for all.")
    top_p: Annotated[float, Meta(gt=0, le=1)] = described(
        1.0, "Only the fewest characters whose probabilities sum to this."
    )
    min_p: Annotated[float, Meta(ge=0, le=1)] = described(
        0.0, "Only characters at least this share as probable as the most probable."
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """A whole configuration, as `config.yaml` in a run directory writes it out."""

    data: DataConfig = field(default_factory=DataConfig)
    """What is read, and how text becomes ids."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The network."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """How the network learns."""
    generate: GenerateConfig = field(default_factory=GenerateConfig)
    """Defaults of this model's generation."""
