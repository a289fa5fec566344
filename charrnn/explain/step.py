"""One time step, written out: the equations of the cell with the model's own numbers in them.

The text is read from the zero state; the step that is shown is that of its last character.
"""

import math

import numpy as np

from charrnn.errors import UserError
from charrnn.evaluation.scoring import check_finite
from charrnn.explain.cells import TracedNetwork, softmax
from charrnn.explain.picture import Numbers, Picture, Table, visible
from charrnn.explain.reading import Request
from charrnn.inference.network import NumpyNetwork
from charrnn.messages import quote

SUMMARY = "one time step written out, with the model's own numbers: explain step TEXT"
UNITS = 3
LIKELIEST = 5
INPUTS_SHOWN = 6
LONGEST_TEXT = 100_000
SATURATED = 1 - 1e-7
"""The largest hidden state whose sum before tanh float32 still tells."""

EQUATIONS = {
    "rnn": ("h' = tanh(W_x x + W_h h + b)",),
    "lstm": (
        "i = sigmoid(W_xi x + W_hi h + b_i)      input gate",
        "f = sigmoid(W_xf x + W_hf h + b_f)      forget gate",
        "g = tanh(W_xg x + W_hg h + b_g)         candidate",
        "o = sigmoid(W_xo x + W_ho h + b_o)      output gate",
        "c' = f c + i g                          new cell state",
        "h' = o tanh(c')                         new hidden state",
    ),
    "gru": (
        "r = sigmoid(W_xr x + W_hr h + b_r)      reset gate",
        "z = sigmoid(W_xz x + W_hz h + b_z)      update gate",
        "n = tanh(W_xn x + b_xn + r (W_hn h + b_hn))   candidate",
        "h' = (1 - z) n + z h                    new hidden state",
    ),
}


def numbers(request: Request) -> Numbers:
    """Read a text and take its last step apart.

    Raises:
        UserError: There is no text, or a character in it that the run does not know.
    """
    model = request.model
    card, vocabulary, text = model.card, model.vocabulary, (request.text or "")[-LONGEST_TEXT:]
    if not text:
        raise UserError("there is no text to take a step in", hint='charrnn explain step "The "')
    if unknown := vocabulary.unknown_in(text):
        raise UserError(f"the run does not know the character {quote(unknown[0][1])}")
    begin = [] if vocabulary.bos_id is None else [vocabulary.bos_id]
    ids = np.concatenate([begin, vocabulary.encode(vocabulary.units_of(text))]).astype(np.int64)
    network, traced = NumpyNetwork.of(model), TracedNetwork(model)
    state = network.initial_state(1)
    if len(ids) > 1:
        _, state = network.advance(ids[None, :-1], state)
    (steps,), _ = traced.advance(ids[None, -1:], state)
    given_V = softmax(traced.logits(steps[-1]["hidden"]))[0]
    check_finite(float(given_V.sum()), model.path)
    units = []
    for layer, step in enumerate(steps):
        before_H = state[0, layer, 0]
        changed_H = np.abs(step["hidden"][0] - before_H)
        for unit in np.argsort(-changed_H, kind="stable")[:UNITS].tolist():
            values = {name: float(values_BH[0, unit]) for name, values_BH in step.items()}
            units.append(
                {"layer": layer, "unit": unit, "hidden before": float(before_H[unit])} | values
            )
    row = model.weights["embedding.weight"][ids[-1]].tolist() if card.input == "embedding" else None
    return {
        "run": model.path.name,
        "text_unit": vocabulary.unit,
        "cell": card.cell,
        "text": text,
        "character": vocabulary.label(int(ids[-1])),
        "id": int(ids[-1]),
        "embedding": row,
        "units": units,
        "likeliest": [
            [vocabulary.label(at), float(given_V[at])]
            for at in np.argsort(-given_V, kind="stable")[:LIKELIEST].tolist()
        ],
    }


def picture(numbers: Numbers) -> Picture:
    """Write the equations, the numbers, and what is predicted."""
    char, id_, row = visible(numbers["character"]), numbers["id"], numbers["embedding"]
    if row is None:
        vector = f"zeros with a 1 at {id_}"
    else:
        shown = " ".join(f"{number:+.3f}" for number in row[:INPUTS_SHOWN])
        vector = f"row {id_} of the embedding, {len(row)} numbers: {shown} ..."
    lines = [*EQUATIONS[numbers["cell"]], "", f"x = {char}, id {id_}: {vector}"]
    for unit in numbers["units"]:
        lines += ["", *_worked(numbers["cell"], unit)]
    rows = [(visible(each), f"{share:.1%}") for each, share in numbers["likeliest"]]
    table = Table(
        "softmax(W_y h' + b_y), the likeliest", (numbers["text_unit"], "probability"), rows
    )
    return Picture(
        title=f"One step of {numbers['run']}, the last of {quote(numbers['text'][-40:])}",
        sentences=[
            f"The state holds what came before {char}, which the network reads now.",
            "The units shown are those whose hidden state changes most.",
        ],
        equations="\n".join(lines),
        tables=[table],
    )


def _worked(cell: str, unit: Numbers) -> list[str]:
    """The last equations of a cell with one unit's numbers in them."""
    name, hidden, before = (
        f"unit {unit['unit']}, layer {unit['layer']}:",
        unit["hidden"],
        unit["hidden before"],
    )
    if cell == "rnn":
        summed = math.atanh(max(-SATURATED, min(SATURATED, hidden)))
        return [f"{name}  h' = tanh({summed:+.3f}) = {hidden:+.3f}   (it was {before:+.3f})"]
    candidate = unit["candidate"]
    if cell == "gru":
        reset, update = unit["reset"], unit["update"]
        mixed = f"(1 - {update:.3f}) x {candidate:+.3f} + {update:.3f} x {before:+.3f}"
        return [
            f"{name}  r = {reset:.3f}   z = {update:.3f}   n = {candidate:+.3f}",
            f"  h' = {mixed} = {hidden:+.3f}",
        ]
    input_, forget, output, after = (unit[each] for each in ("input", "forget", "output", "cell"))
    gates = f"i = {input_:.3f}   f = {forget:.3f}   g = {candidate:+.3f}   o = {output:.3f}"
    mixed = f"{forget:.3f} x {unit['cell before']:+.3f} + {input_:.3f} x {candidate:+.3f}"
    shown = f"{output:.3f} x tanh({after:+.3f}) = {hidden:+.3f}   (it was {before:+.3f})"
    return [f"{name}  {gates}", f"  c' = {mixed} = {after:+.3f}", f"  h' = {shown}"]
