"""Errors that a user meets, each with one message, one hint and one exit code."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of every charrnn command."""

    DONE = 0
    FAILED = 1
    WRONG_INPUT = 2
    HUNG_UP = 129
    INTERRUPTED = 130
    READER_GONE = 141
    TERMINATED = 143


class UserError(Exception):
    """Wrong usage or wrong input; shown as a message and a hint, never as a traceback.

    The message names the file, line, key or character at fault; the hint says what to do next.
    """

    def __init__(
        self, message: str, *, hint: str = "", exit_code: int = ExitCode.WRONG_INPUT
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = int(exit_code)

    def to_json(self) -> dict[str, str | int]:
        """The error as `--json` prints it."""
        return {"message": self.message, "hint": self.hint, "exit_code": self.exit_code}


class RunFailedError(UserError):
    """The input was right and the work failed: a full disk, a network that does not answer."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, exit_code=ExitCode.FAILED)
