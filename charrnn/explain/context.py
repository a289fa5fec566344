"""How much of what it has read the network uses: the loss against the characters it may see.

A network that may see k characters reads them from the zero state. That is done at places spread
over the text, more of them for short contexts, whose losses differ more; what is averaged is the
difference from the loss with all of the text before it, which is known at every place.

Shapes: M places, T time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from charrnn.evaluation.scoring import nats_and_correct
from charrnn.explain.baselines import ngram_bits, training_part
from charrnn.explain.cells import Floats
from charrnn.explain.picture import Chart, Picture, Series, Table
from charrnn.explain.subject import Subject

LENGTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
PLACES = ((24, 1024), (256, 128), (2048, 32))
"""Up to which context is read at how many places."""
COLUMNS_AT_ONCE = 64
NEAR = 0.01


@dataclass(frozen=True, kw_only=True)
class Context:
    """The loss for each length of context; the last length is None, all of the text."""

    run: str
    source: str
    length: Sequence[int | None]
    loss_nats: Sequence[float]
    ngram_nats: Sequence[float]
    """The loss of n-gram models of the orders 0, 1, 2, ..."""
    is_lines: bool

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "run": self.run,
            "source": self.source,
            "length": self.length,
            "loss_nats": self.loss_nats,
            "ngrams": [
                {"order": order, "loss_nats": loss} for order, loss in enumerate(self.ngram_nats)
            ],
        }

    def picture(self) -> Picture:
        """The loss against the length, with the n-gram models as levels."""
        known = [length for length in self.length if length is not None]
        series = [Series(name=self.run, x=known, y=self.loss_nats[: len(known)])]
        series += [
            Series(name=f"n-gram order {order}", x=(1,), y=(loss,), style="level")
            for order, loss in enumerate(self.ngram_nats)
        ]
        chart = Chart(
            title=f"Loss against the {self._what()}",
            x_label=self._what(),
            y_label="nats per character",
            series=series,
            log_x=True,
        )
        rows = [
            ("all" if length is None else f"{length:,}", f"{loss:.4f}")
            for length, loss in zip(self.length, self.loss_nats, strict=True)
        ]
        ngrams = [(str(order), f"{loss:.4f}") for order, loss in enumerate(self.ngram_nats)]
        return Picture(
            title=f"Context: {self.run} on {self.source}",
            sentences=self._sentences(),
            charts=[chart],
            tables=[
                Table(
                    title="The network",
                    columns=(self._what(), "nats per character"),
                    rows=rows,
                ),
                Table(title="n-gram models", columns=("order", "nats per character"), rows=ngrams),
            ],
        )

    def _what(self) -> str:
        return "place in the line" if self.is_lines else "characters seen before"

    def _sentences(self) -> list[str]:
        best, order = self.loss_nats[-1], int(np.argmin(self.ngram_nats))
        sentence = (
            f"The best n-gram model, of order {order}, reaches {self.ngram_nats[order]:.4f} nats."
        )
        if self.is_lines:
            return [f"The network's loss over whole lines is {best:.4f} nats.", sentence]
        near = (loss <= best + NEAR for loss in self.loss_nats)
        enough = next(length for length, is_near in zip(self.length, near, strict=True) if is_near)
        seen = "Only with all of the text" if enough is None else f"With {enough:,} seen before"
        return [
            f"{seen} the network is within {NEAR} nats of its loss with all of the text, "
            f"{best:.4f} nats.",
            sentence,
        ]


def explain_context(subject: Subject) -> Context:
    """Compute the loss for contexts of 1, 2, 4 ... characters, and of n-gram models.

    In lines mode a context reaches back to the line's beginning, which counts as one: the loss for
    k is that of the places with at most k, and more than the length before, in front of them.
    """
    training = training_part(subject)
    chars = len(subject.targets_N)
    length, loss = _by_depth(subject) if subject.is_lines else _by_window(subject)
    return Context(
        run=subject.run,
        source=subject.source,
        length=[*length, None],
        loss_nats=[*loss, float(subject.nats_N.mean(dtype=np.float64))],
        is_lines=subject.is_lines,
        ngram_nats=[bits * np.log(2) / chars for bits in ngram_bits(training, subject)],
    )


def _by_depth(subject: Subject) -> tuple[list[int], list[float]]:
    begins_N = np.repeat(subject.documents[:-1], np.diff(subject.documents))
    depth_N = np.arange(len(begins_N)) - begins_N + 1
    lengths, losses = [], []
    for before, length in zip((0, *LENGTHS), LENGTHS, strict=False):
        nats = subject.nats_N[(depth_N > before) & (depth_N <= length)]
        if len(nats):
            lengths.append(length)
            losses.append(float(nats.mean(dtype=np.float64)))
    return lengths, losses


def _by_window(subject: Subject) -> tuple[list[int], list[float]]:
    longest = max(length for length in LENGTHS if length <= len(subject.targets_N))
    differences_T: Floats = np.zeros(longest)
    for places, length in PLACES:
        read = min(length, longest)
        differences_T[:read] = _differences(subject, places, read)
    all_text = float(subject.nats_N.mean(dtype=np.float64))
    lengths = [length for length in LENGTHS if length <= longest]
    return lengths, [all_text + float(differences_T[length - 1]) for length in lengths]


def _differences(subject: Subject, places: int, length: int) -> Floats:
    """By how much the loss grows if only 1, 2, ... `length` characters are seen, (length,)."""
    last = len(subject.targets_N) - length
    begins_M = np.unique(np.linspace(0, last, places).astype(np.int64))
    state = subject.network.initial_state(len(begins_M))
    differences = []
    for at in range(0, length, COLUMNS_AT_ONCE):
        places_MT = begins_M[:, None] + np.arange(at, min(at + COLUMNS_AT_ONCE, length))
        logits_MTV, state = subject.network.advance(subject.inputs_N[places_MT], state)
        everywhere_MT = np.ones(places_MT.shape, np.bool_)
        nats_MT, _ = nats_and_correct(logits_MTV, subject.targets_N[places_MT], everywhere_MT)
        differences.append((nats_MT - subject.nats_N[places_MT]).mean(axis=0, dtype=np.float64))
    return np.concatenate(differences)
