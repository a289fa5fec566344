"""How an evaluation is shown: a table for people, an object for programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from charrnn.console import Console
from charrnn.evaluation.eval_text import EvalText
from charrnn.evaluation.scoring import Score
from charrnn.messages import format_name, quote
from charrnn.run.reader import TrainedModel

UNKNOWN_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A score, and what it is the score of."""

    model: TrainedModel
    text: EvalText
    window: int | None
    engine: str
    score: Score
    seconds: float

    @property
    def run(self) -> str:
        """The run directory's path."""
        return str(self.model.path)

    @property
    def mode(self) -> str:
        """`stream` or `lines`."""
        return self.model.card.mode

    @property
    def bits_per_byte(self) -> float:
        """The bits of the whole text, divided by its bytes in UTF-8."""
        return self.score.bits / self.text.utf8_bytes

    @property
    def protocol(self) -> str:
        """What the score must be compared with: other scores of the same protocol, no others."""
        return "stateful" if self.window is None else "window"

    def to_json(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        return {
            "run": self.run,
            "source": self.text.source,
            "split": self.text.split,
            "mode": self.mode,
            "protocol": self.protocol,
            "window": self.window,
            "chars": self.score.chars,
            "unknown_chars": self.score.unknown_chars,
            "loss_nats": self.score.loss_nats,
            "bits_per_char": self.score.bits_per_char,
            "bits_per_byte": self.bits_per_byte,
            "perplexity": self.score.perplexity,
            "accuracy": self.score.accuracy,
            "engine": self.engine,
            "seconds": round(self.seconds, 3),
        }

    def to_text(self) -> str:
        """Return the table that people read."""
        rows = [
            ("loss", f"{self.score.loss_nats:.4f} nats per character"),
            ("bits per character", f"{self.score.bits_per_char:.4f}"),
            ("bits per byte", f"{self.bits_per_byte:.4f}"),
            ("perplexity", f"{self.score.perplexity:.4f}"),
            ("accuracy", f"{self.score.accuracy:.2%} of characters were the most probable one"),
            ("counted", self._counted()),
            ("protocol", self._protocol_in_words()),
            ("time", self._time()),
        ]
        width = max(len(name) for name, _ in rows)
        return "\n".join([self._title(), *(f"  {name:<{width}}  {value}" for name, value in rows)])

    def _title(self) -> str:
        part = {None: "", "valid": "the validation split of ", "train": "the training split of "}
        return f"{format_name(self.run)} on {part[self.text.split]}{format_name(self.text.source)}"

    def _counted(self) -> str:
        ends = ", ends of lines included" if self.mode == "lines" else ""
        return f"{self.score.chars:,} characters{ends}; {self.score.unknown_chars:,} unknown"

    def _protocol_in_words(self) -> str:
        if self.mode == "lines":
            return f"{self.protocol}: every line read from a zero state to its end"
        if self.window is None:
            return f"{self.protocol}: the state carried from the beginning to the end"
        return f"{self.protocol}: every {self.window:,} characters from a zero state"

    def _time(self) -> str:
        speed = self.score.chars / max(self.seconds, 1e-9)
        return f"{self.seconds:.2f} s, {speed:,.0f} characters per second ({self.engine})"


def warn_of_unknown(unknown: Sequence[tuple[str, int]], console: Console) -> None:
    """Warn of characters that the run does not know, the most frequent first."""
    if not unknown:
        return
    examples = [f"{_character(char)} {count:,}x" for char, count in unknown[:UNKNOWN_SHOWN]]
    more = len(unknown) - len(examples)
    rest = f" and {more:,} others" if more else ""
    console.warn(f"characters that the run does not know: {', '.join(examples)}{rest}")


def _character(char: str) -> str:
    return f"{quote(char)} (U+{ord(char):04X})"
