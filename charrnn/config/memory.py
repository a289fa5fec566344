"""How much memory training takes, by arithmetic, before any of it is asked for.

The estimate counts what cannot be avoided, so that nothing that would fit is refused: it is for
telling a slip of the finger (hidden_size: 65536) from a large model, not for planning.
Letters: V vocabulary, E embedding, H hidden, L layers, B batch, T time.
"""

import os
from pathlib import Path

from charrnn.config.schema import Config, ModelConfig
from charrnn.errors import UserError
from charrnn.network import GATES, STATE_PARTS
from charrnn.wording import byte_size

FLOAT_BYTES = 4
COPIES_IN_TRAINING = 4  # the weights, their gradients and AdamW's two moments
LOGIT_COPIES = 2  # the logits and their gradients
SMALLEST_VOCABULARY = 3  # <pad>, <unk> and one character
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def parameter_count(model: ModelConfig, vocabulary_size: int) -> int:
    """The number of weights that are learned, biases included."""
    is_embedded = model.input == "embedding"
    embedding = vocabulary_size * model.embedding_size if is_embedded else 0
    first_input = model.embedding_size if is_embedded else vocabulary_size
    inputs = first_input + (model.layers - 1) * model.hidden_size
    gate_rows = GATES[model.cell] * model.hidden_size
    recurrent = gate_rows * (inputs + model.layers * (model.hidden_size + 2))
    output = 0 if model.tie_weights else vocabulary_size * model.hidden_size
    return embedding + recurrent + output + vocabulary_size


def activation_count(config: Config, vocabulary_size: int, largest_batch: int | None = None) -> int:
    """The numbers that a step keeps from its forward pass for its backward pass.

    For each character of a batch: the gates and the states of every layer, and the logits.
    Without a `largest_batch` there are B * T of them: lines are taken to be sequence_length long.
    """
    model = config.model
    kept_a_unit = GATES[model.cell] + STATE_PARTS[model.cell]
    a_character = model.layers * model.hidden_size * kept_a_unit + LOGIT_COPIES * vocabulary_size
    characters = largest_batch or config.train.batch_size * config.train.sequence_length
    return characters * a_character


def estimated_bytes(config: Config, vocabulary_size: int, largest_batch: int | None = None) -> int:
    """The memory in bytes that training with this configuration takes at the least, in float32."""
    parameters = COPIES_IN_TRAINING * parameter_count(config.model, vocabulary_size)
    activations = activation_count(config, vocabulary_size, largest_batch)
    return FLOAT_BYTES * (parameters + activations)


def physical_bytes() -> int | None:
    """The memory of this machine, or of the container that we are in; None if it will not say."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
    try:
        return min(memory, int(CONTAINER_LIMIT.read_text()))
    except (ValueError, OSError):  # no container, or one without a limit ("max")
        return memory


def check_memory(
    config: Config,
    *,
    lead: str = "",
    vocabulary_size: int = SMALLEST_VOCABULARY,
    largest_batch: int | None = None,
) -> None:
    """Refuse what this machine cannot hold; without a vocabulary, the smallest is assumed.

    `lead` is what the message begins with, such as the name of the file and a colon.
    `largest_batch` counts the characters in it, once the text is known.

    Raises:
        UserError: Training takes more memory than there is; with the bytes and their parts.
    """
    available = physical_bytes()
    needed = estimated_bytes(config, vocabulary_size, largest_batch)
    if available is None or needed <= available:
        return
    activations = FLOAT_BYTES * activation_count(config, vocabulary_size, largest_batch)
    raise UserError(
        f"{lead}training takes {needed:,} bytes ({byte_size(needed)}) of memory or more, "
        f"this machine has {byte_size(available)}: {byte_size(needed - activations)} for weights "
        f"and optimiser (model), {byte_size(activations)} for a batch (train)",
        hint="less is needed with a smaller model.hidden_size, model.layers, model.embedding_size, "
        f"train.batch_size or {_length_of_a_row(config)}",
    )


def _length_of_a_row(config: Config) -> str:
    is_lines = config.data.mode == "lines"
    return "shorter lines (data.mode)" if is_lines else "train.sequence_length"
