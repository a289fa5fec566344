"""Generated text on its way to stdout: in which form, and when.

A text is printed as itself, as a line, or as a JSON object. On a terminal a character is shown at
once, control characters visible and harmless. Elsewhere the bytes are those of the text, in
stdout's own encoding (what that does not have is written as an escape), gathered for up to a
twentieth of a second.
"""

import codecs
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from charrnn.cli.generate import GenerateArguments, name_flags
from charrnn.cli.signals import HeldSignals
from charrnn.console import Console, as_json, escape_controls
from charrnn.errors import RunFailedError
from charrnn.generation.sequence import GeneratedText
from charrnn.run.reader import TrainedModel

if TYPE_CHECKING:
    from charrnn.generation.novelty import Novelty

SEPARATOR = "--\n"
"""The line between two texts that may have many lines, as grep separates what it found."""

PIPE_SECONDS = 0.05
TERMINAL_SECONDS = 0.002
MOST_GATHERED = 4096
PAGE = 4096
"""What a pipe that is ready takes without waiting; POSIX has it whole or not at all."""


class TextOutput:
    """stdout, for text and nothing else."""

    def __init__(self, signals: HeldSignals, console: Console, *, is_binary: bool = False) -> None:
        """Take stdout; binary data goes into a pipe as the bytes that it is.

        Raises:
            RunFailedError: There is none.
        """
        if sys.stdout is None:
            raise RunFailedError("stdout is closed", hint="open it, or send it to /dev/null")
        sys.stdout.flush()
        self._descriptor = sys.stdout.fileno()
        self._is_terminal = os.isatty(self._descriptor)
        encoding = "latin-1" if is_binary and not self._is_terminal else sys.stdout.encoding
        self._encoder = codecs.getincrementalencoder(encoding)("backslashreplace")
        self._is_utf8 = codecs.lookup(encoding).name == "utf-8"
        self._signals = signals
        self._console = console
        self._patience = TERMINAL_SECONDS if self._is_terminal else PIPE_SECONDS
        self._flush_at = time.monotonic()
        self._gathered: list[str] = []
        self._unwritten = b""
        self._ends_line = True

    def write(self, text: str) -> None:
        """Write text, now or soon.

        Raises:
            BrokenPipeError: Its reader is gone.
            RunFailedError: It cannot be written.
            Interrupted: A signal came while its reader was not ready.
        """
        self._ends_line = text.endswith("\n") or (self._ends_line and not text)
        self._gathered.append(text)
        if time.monotonic() >= self._flush_at or len(self._gathered) >= MOST_GATHERED:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered; raises what `write` raises."""
        text = "".join(self._gathered)
        self._gathered.clear()
        self._unwritten += self._encoder.encode(
            escape_controls(text) if self._is_terminal else text
        )
        while self._unwritten:
            self._signals.wait_until_writable(self._descriptor)
            try:
                written = os.write(self._descriptor, self._unwritten[: self._whole_page()])
            except BlockingIOError:  # another process has filled the pipe meanwhile
                continue
            except BrokenPipeError:
                raise
            except OSError as error:
                reason = error.strerror or error
                raise RunFailedError(f"cannot write to stdout: {reason}") from error
            self._unwritten = self._unwritten[written:]
        self._flush_at = time.monotonic() + self._patience

    def _whole_page(self) -> int:
        """How many bytes to write at once: a page, or less if it would cut a character in two."""
        size = PAGE
        while self._is_utf8 and size < len(self._unwritten) and _goes_on(self._unwritten[size]):
            size -= 1
        return size

    def check(self) -> None:
        """Raise Interrupted if a signal has come."""
        self._signals.check()

    def end_line(self) -> None:
        """On a terminal, let what follows begin on a line of its own; stdout is left exact."""
        self.flush()
        if self._is_terminal and self._console.is_terminal and not self._ends_line:
            self._console.note("")
            self._ends_line = True


def _goes_on(byte: int) -> bool:
    """Whether a byte goes on with a character of UTF-8 that another one began."""
    return byte & 0b1100_0000 == 0b1000_0000


class ResultFormat:
    """How the texts of one call are printed."""

    def __init__(self, arguments: GenerateArguments, model: TrainedModel) -> None:
        self._arguments = arguments
        self._novelty: Callable[[str], Novelty] | None = None
        if arguments.novelty is not None:
            from charrnn.generation.novelty import novelty_measure

            self._novelty = novelty_measure(model, arguments.novelty, arguments.data_dir)
        mode, between, is_listed = (
            model.card.mode,
            model.card.separator,
            arguments.seeds is not None,
        )
        is_line = mode == "lines" and between == "\n"
        self._is_escaped = is_listed and not (is_line or arguments.null)
        self.separator, self.terminator = "", ""
        """What stands between two texts, and what ends each of them."""
        if arguments.null:
            self.terminator = "\0"
        elif is_line or is_listed:
            self.terminator = "\n"
        elif mode == "lines" and between:
            self.terminator = "\n" if between.startswith("\n") else ""
            self.separator = between.removeprefix("\n")
        elif mode == "lines" or not arguments.is_single:
            self.separator, self.terminator = SEPARATOR, "\n"

    def plain(self, text: GeneratedText) -> str:
        """A text with its seed, on one line where seeds come a line each."""
        whole = "" if text.error else self._with_seed(text)
        return whole.replace("\\", r"\\").replace("\n", r"\n") if self._is_escaped else whole

    def json_line(self, text: GeneratedText) -> str:
        """A text as a JSON object in ASCII, on a line; or why there is none."""
        if text.error is not None:
            told = {
                "seed": text.seed,
                "sample": text.sample,
                "error": name_flags(text.error).to_json(),
            }
            return f"{as_json(told)}\n"
        mean = text.mean_log_probability
        result: dict[str, Any] = {
            "text": self._with_seed(text),
            "seed": text.seed,
            "rng_seed": text.rng_seed,
            "sample": text.sample,
            "characters": len(text.text),
            "ended_by": text.ended_by,
            "mean_log_probability": None if mean is None else round(mean, 6),
            "seconds": round(text.seconds, 6),
        }
        if self._arguments.logprobs:
            result["log_probabilities"] = [round(p, 6) for p in text.log_probabilities or ()]
        if self._novelty is not None:
            result["novelty"] = asdict(self._novelty(text.text))
        return f"{as_json(result)}\n"

    def novelty_note(self, text: GeneratedText) -> str:
        """A text's novelty, in words."""
        assert self._novelty is not None
        novelty = self._novelty(text.text)
        return (
            f"{novelty.copied_share:.1%} of it stands in the training text in spans of "
            f"{novelty.span:,} characters or more; the longest span has {novelty.longest:,}"
        )

    def _with_seed(self, text: GeneratedText) -> str:
        return text.text if self._arguments.no_echo else text.seed + text.text
