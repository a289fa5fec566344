"""A model as an ONNX file, built without torch and compared with the NumPy network.

The file speaks the protocol of `charrnn.network`: inputs `ids` (batch, time) and `state`
(parts, layers, batch, hidden), outputs `logits` (batch, time, vocabulary) and `next_state`; batch
and time are free. The characters in id order are among its metadata; `unit` there tells whether
they stand for bytes, each the character of its number.

Operators: https://onnx.ai/onnx/operators/ (LSTM, GRU, RNN). ONNX orders the gates of an LSTM
i, o, f, c where torch has i, f, g, o, and those of a GRU z, r, h where torch has r, z, n;
`linear_before_reset` is torch's GRU.
"""

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from charrnn import __version__
from charrnn.errors import RunFailedError, UserError
from charrnn.inference.network import NumpyNetwork
from charrnn.messages import byte_size
from charrnn.network import STATE_PARTS, FloatArray
from charrnn.run.reader import TrainedModel

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

OPSET = 17
IR_VERSION = 8
"""Of 2022 and before: what reads ONNX today reads both."""
LIMIT_BYTES = 2**31 - 2**20
"""What a file in Protocol Buffers holds, with some room for all that is not weights."""
GATE_ORDER = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}
"""Where each of ONNX's gates stands in torch's order."""
TOLERANCE = 1e-5
TEXTS, LENGTH = 3, 24
"""What is read to compare."""


def onnx_bytes(model: TrainedModel) -> bytes:
    """Return a model as an ONNX file.

    Raises:
        UserError: The package onnx is not installed, or the file would be too large for it.
    """
    require_packages()
    if (size := sum(array.nbytes for array in model.weights.values())) > LIMIT_BYTES:
        raise UserError(f"an ONNX file holds 2 GB, and the weights have {byte_size(size)}")
    content: bytes = _Graph(model).to_model().SerializeToString()
    return content


def onnx_difference(model: TrainedModel, content: bytes) -> float:
    """Run an ONNX file and the NumPy network on the same texts.

    Random ids are read from a random state, and again from the state after them.

    Returns:
        The largest difference of a logit or a state, as a share of the largest logit if that is
        above 1.

    Raises:
        RunFailedError: It is above 1e-5.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    network = NumpyNetwork.of(model)
    rng = np.random.default_rng(0)
    shape_SLBH = network.initial_state(TEXTS).shape
    state_SLBH = rng.uniform(-0.5, 0.5, shape_SLBH).astype(np.float32)
    worst = 0.0
    for _ in range(2):
        ids_BT = rng.integers(0, network.vocabulary_size, (TEXTS, LENGTH))
        found = session.run(["logits", "next_state"], {"ids": ids_BT, "state": state_SLBH})
        expected = network.advance(ids_BT, state_SLBH)
        scale = max(1.0, float(np.abs(expected[0]).max()))
        pairs = zip(found, expected, strict=True)
        worst = max(
            [worst, *(float(np.abs(ours - theirs).max()) / scale for ours, theirs in pairs)]
        )
        state_SLBH = expected[1]
    if not worst <= TOLERANCE:
        raise RunFailedError(
            f"onnxruntime's numbers differ from charrnn's by {worst:.1e}; nothing was written",
            hint="the weights may be so large that rounding decides; was the training stable?",
        )
    return worst


def require_packages() -> None:
    """Import what this needs.

    Raises:
        UserError: It is not installed.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"an ONNX file needs the package {error.name}, which is not installed",
            hint='`pip install "charrnn-cli[onnx]"` installs it',
        ) from error


class _Graph:
    """The nodes and constants of a model, in the order in which they are computed."""

    def __init__(self, model: TrainedModel) -> None:
        self._model = model
        self._card = model.card
        self._nodes: list[NodeProto] = []
        self._constants: dict[str, FloatArray | np.ndarray[Any, Any]] = {}

    def to_model(self) -> "ModelProto":
        """Put the whole model together."""
        from onnx import TensorProto, checker, helper, numpy_helper

        self._build()
        card = self._card
        state: list[str | int | None] = [
            STATE_PARTS[card.cell],
            card.layers,
            "batch",
            card.hidden_size,
        ]
        logits: list[str | int | None] = ["batch", "time", card.vocabulary_size]
        graph = helper.make_graph(
            self._nodes,
            "charrnn",
            [
                helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "time"]),
                helper.make_tensor_value_info("state", TensorProto.FLOAT, state),
            ],
            [
                helper.make_tensor_value_info("logits", TensorProto.FLOAT, logits),
                helper.make_tensor_value_info("next_state", TensorProto.FLOAT, state),
            ],
            [numpy_helper.from_array(array, name) for name, array in self._constants.items()],
        )
        opset = [helper.make_opsetid("", OPSET)]
        proto = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
        proto.producer_name, proto.producer_version = "charrnn", __version__
        characters = json.dumps(self._model.vocabulary.characters)
        vocabulary = self._model.vocabulary
        properties = {"characters": characters, "mode": card.mode, "unit": vocabulary.unit}
        helper.set_model_props(proto, properties)
        checker.check_model(proto)
        return proto

    def _build(self) -> None:
        """Ids to vectors, layer by layer, to logits; names end in their shapes."""
        layers = range(self._card.layers)
        below = self._inputs()
        parts = self._split_state()
        ends: list[list[str]] = [[] for _ in parts]
        for layer in layers:
            below, after = self._layer(layer, below, [part[layer] for part in parts])
            for end, name in zip(ends, after, strict=True):
                end.append(name)
        self._logits(below)
        for part, states in enumerate(ends):
            self._node("Concat", states, [f"end{part}_LBH"], axis=0)
            self._node("Unsqueeze", [f"end{part}_LBH", self._axes(0)], [f"end{part}_1LBH"])
        self._node(
            "Concat", [f"end{part}_1LBH" for part in range(len(ends))], ["next_state"], axis=0
        )

    def _inputs(self) -> str:
        """The vector of each character, time first, as ONNX's layers want it."""
        self._node("Transpose", ["ids"], ["ids_TB"], perm=[1, 0])
        if self._card.input == "onehot":
            depth = self._constant("depth", np.array(self._card.vocabulary_size, np.int64))
            values = self._constant("off_on", np.array([0, 1], np.float32))
            return self._node("OneHot", ["ids_TB", depth, values], ["inputs_TBV"], axis=-1)
        embedding = self._weight("embedding.weight")
        return self._node("Gather", [embedding, "ids_TB"], ["inputs_TBE"], axis=0)

    def _split_state(self) -> list[list[str]]:
        """The state of each part and layer, (1, B, H)."""
        parts = [f"state{part}_1LBH" for part in range(STATE_PARTS[self._card.cell])]
        self._node("Split", ["state"], parts, axis=0)
        split = []
        for part, name in enumerate(parts):
            whole = self._node("Squeeze", [name, self._axes(0)], [f"state{part}_LBH"])
            names = [f"state{part}_{layer}_1BH" for layer in range(self._card.layers)]
            self._node("Split", [whole], names, axis=0)
            split.append(names)
        return split

    def _layer(self, layer: int, below: str, states: list[str]) -> tuple[str, list[str]]:
        """One layer; returns its hidden states (T, B, H), and its state at the end (1, B, H)."""
        cell = self._card.cell
        settings = {"linear_before_reset": 1} if cell == "gru" else {}
        ends = [f"end{part}_{layer}_1BH" for part in range(len(states))]
        self._node(
            cell.upper(),
            [
                below,
                self._gates(layer, "weight_ih"),
                self._gates(layer, "weight_hh"),
                self._biases(layer),
                "",  # every text is read to its end
                *states,
            ],
            [f"layer{layer}_T1BH", *ends],
            hidden_size=self._card.hidden_size,
            **settings,
        )
        hidden = [f"layer{layer}_TBH"]
        return self._node("Squeeze", [f"layer{layer}_T1BH", self._axes(1)], hidden), ends

    def _logits(self, top_TBH: str) -> None:
        tied = self._card.tie_weights
        output_VH = self._model.weights["embedding.weight" if tied else "output.weight"]
        output_HV = self._constant("output_HV", np.ascontiguousarray(output_VH.T))
        self._node("Transpose", [top_TBH], ["top_BTH"], perm=[1, 0, 2])
        self._node("MatMul", ["top_BTH", output_HV], ["products_BTV"])
        self._node("Add", ["products_BTV", self._weight("output.bias")], ["logits"])

    def _gates(self, layer: int, name: str) -> str:
        """A matrix of a layer, its gates in ONNX's order: (1, G, K)."""
        rows = self._in_order(self._model.weights[f"rnn.{name}_l{layer}"])
        return self._constant(f"{name}_{layer}", rows[None])

    def _biases(self, layer: int) -> str:
        """Both biases of a layer side by side: (1, 2G)."""
        names = [f"rnn.{name}_l{layer}" for name in ("bias_ih", "bias_hh")]
        rows = [self._in_order(self._model.weights[name]) for name in names]
        return self._constant(f"bias_{layer}", np.concatenate(rows)[None])

    def _in_order(self, rows_G: FloatArray) -> FloatArray:
        order = GATE_ORDER[self._card.cell]
        gates = np.split(rows_G, len(order))
        return np.concatenate([gates[place] for place in order])

    def _weight(self, name: str) -> str:
        return self._constant(name, self._model.weights[name])

    def _axes(self, axis: int) -> str:
        return self._constant(f"axis{axis}", np.array([axis], np.int64))

    def _constant(self, name: str, value: np.ndarray[Any, Any]) -> str:
        self._constants[name] = value
        return name

    def _node(self, kind: str, inputs: list[str], outputs: list[str], **settings: Any) -> str:
        """Add a node; returns the name of its first output."""
        from onnx import helper

        self._nodes.append(helper.make_node(kind, inputs, outputs, **settings))
        return outputs[0]
