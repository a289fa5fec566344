"""How much memory training takes, by arithmetic, before any of it is asked for.

The estimate counts what cannot be avoided, so that nothing that would fit is refused: it is for
telling a slip of the finger (hidden_size: 65536) from a large model, not for planning.
Letters: V vocabulary, E embedding, H hidden, L layers, B batch, T time.
"""

from dataclasses import replace

from charrnn.config.schema import Config, ModelConfig
from charrnn.machine import require_memory
from charrnn.messages import byte_size
from charrnn.network import GATES, STATE_PARTS

FLOAT_BYTES = 4
COPIES_IN_TRAINING = {"adamw": 4, "muon": 3}  # the weights, their gradients and their moments
COPIES_IN_SAVING = 2  # the weights as they are kept, and their file
LOGIT_COPIES = 2  # the logits and their gradients
SMALLEST_VOCABULARY = 3  # <pad>, <unk> and one character


def parameter_count(model: ModelConfig, vocabulary_size: int) -> int:
    """The number of weights that are learned by all networks, biases included."""
    is_embedded = model.input == "embedding"
    embedding = vocabulary_size * model.embedding_size if is_embedded else 0
    first_input = model.embedding_size if is_embedded else vocabulary_size
    inputs = first_input + (model.layers - 1) * model.hidden_size
    gate_rows = GATES[model.cell] * model.hidden_size
    recurrent = gate_rows * (inputs + model.layers * (model.hidden_size + 2))
    output = 0 if model.tie_weights else vocabulary_size * model.hidden_size
    return model.ensemble_size * (embedding + recurrent + output + vocabulary_size)


def activation_count(config: Config, vocabulary_size: int, longest_line: int = 1) -> int:
    """The numbers that a step keeps from its forward pass for its backward pass.

    For each of B * T characters and each network: the gates and the states of every layer, and the
    logits. T is the sequence length, or the longest line or example, which all of its batch are
    padded to.
    """
    model = config.model
    kept_a_unit = GATES[model.cell] + STATE_PARTS[model.cell]
    a_character = model.layers * model.hidden_size * kept_a_unit + LOGIT_COPIES * vocabulary_size
    time = config.train.sequence_length if config.data.mode == "stream" else longest_line
    return model.ensemble_size * config.train.batch_size * time * a_character


def kept_count(model: ModelConfig, vocabulary_size: int) -> int:
    """The numbers in an ensemble's weights as they are kept, zeros included; 0 of one network."""
    count = model.ensemble_size
    if count == 1:
        return 0
    whole = replace(
        model,
        hidden_size=count * model.hidden_size,
        embedding_size=count * model.embedding_size,
        ensemble_size=1,
    )
    return parameter_count(whole, vocabulary_size)


def estimated_bytes(config: Config, vocabulary_size: int, longest_line: int = 1) -> int:
    """The memory in bytes that training with this configuration takes at the least, in float32."""
    copies = COPIES_IN_TRAINING[config.train.optimizer] + (config.train.average_fraction > 0)
    parameters = copies * parameter_count(config.model, vocabulary_size)
    parameters += COPIES_IN_SAVING * kept_count(config.model, vocabulary_size)
    return FLOAT_BYTES * (parameters + activation_count(config, vocabulary_size, longest_line))


def check_memory(
    config: Config,
    *,
    lead: str = "",
    vocabulary_size: int = SMALLEST_VOCABULARY,
    longest_line: int = 1,
) -> None:
    """Refuse what this machine cannot hold; without a corpus, the smallest one is assumed.

    `lead` is what the message begins with, such as the name of the file and a colon.
    `longest_line` counts for lines and examples: the characters and the end.

    Raises:
        UserError: Training takes more memory than there is; with the bytes and their parts.
    """
    needed = estimated_bytes(config, vocabulary_size, longest_line)
    activations = FLOAT_BYTES * activation_count(config, vocabulary_size, longest_line)
    require_memory(
        needed,
        f"{lead}training",
        detail=f": {byte_size(needed - activations)} for weights and optimiser (model), "
        f"{byte_size(activations)} for a batch (train)",
        hint="less is needed with a smaller model.hidden_size, model.layers, model.embedding_size, "
        "model.ensemble_size, train.batch_size or train.sequence_length; data.truncate cuts lines "
        "at data.max_length",
    )
