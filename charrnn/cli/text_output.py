"""Generated text on its way to stdout: seen as it is made, and cheap in a pipe.

On a terminal a character is shown at once, control characters visible and harmless. Elsewhere the
bytes are those of the text, in stdout's own encoding (what that does not have is written as an
escape), gathered for up to a twentieth of a second.
"""

import codecs
import sys
import time
from typing import TextIO

from charrnn.cli.signals import Interrupts
from charrnn.console import escape_controls
from charrnn.errors import RunFailedError

PIPE_SECONDS = 0.05
TERMINAL_SECONDS = 0.002
MOST_GATHERED = 4096
PAGE = 4096
"""What a pipe that is ready takes without waiting; POSIX has it whole or not at all."""


class TextOutput:
    """stdout, for text and nothing else."""

    def __init__(self, interrupts: Interrupts) -> None:
        """Take stdout.

        Raises:
            RunFailedError: There is none.
        """
        if sys.stdout is None:
            raise RunFailedError("stdout is closed", hint="open it, or send it to /dev/null")
        sys.stdout.flush()
        self.is_terminal = sys.stdout.isatty()
        self.ends_line = True
        """Whether the text so far ends with a line's end, or there is none."""
        self._interrupts = interrupts
        self._bytes = sys.stdout.buffer
        self._descriptor = _descriptor_of(sys.stdout)
        encoder = codecs.getincrementalencoder(sys.stdout.encoding or "utf-8")
        self._encoder = encoder("backslashreplace")
        self._patience = TERMINAL_SECONDS if self.is_terminal else PIPE_SECONDS
        self._gathered: list[str] = []
        self._flush_at = time.monotonic()
        self._unwritten = b""

    def write(self, text: str) -> None:
        """Write text, now or soon.

        Raises:
            BrokenPipeError: Its reader is gone.
            RunFailedError: It cannot be written.
            Interrupted: A signal came while its reader was not ready.
        """
        self.ends_line = text.endswith("\n") or (self.ends_line and not text)
        self._gathered.append(text)
        if time.monotonic() >= self._flush_at or len(self._gathered) >= MOST_GATHERED:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered; raises what `write` raises."""
        text = "".join(self._gathered)
        self._gathered.clear()
        self._unwritten += self._encoder.encode(escape_controls(text) if self.is_terminal else text)
        while self._unwritten:
            self._wait()
            page, self._unwritten = self._unwritten[:PAGE], self._unwritten[PAGE:]
            self._write_page(page)
        self._flush_at = time.monotonic() + self._patience

    def _wait(self) -> None:
        if self._descriptor is not None:
            self._interrupts.wait_until_writable(self._descriptor)

    def _write_page(self, page: bytes) -> None:
        try:
            self._bytes.write(page)
            self._bytes.flush()
        except BrokenPipeError:
            raise
        except BlockingIOError:  # somebody made the file non-blocking; the rest is in its buffer
            self._wait()
            self._write_page(b"")
        except OSError as error:
            raise RunFailedError(f"cannot write to stdout: {error.strerror or error}") from error


def _descriptor_of(stream: TextIO) -> int | None:
    """The operating system's number for a stream; None for one that lives in memory."""
    try:
        return stream.fileno()
    except OSError:
        return None
