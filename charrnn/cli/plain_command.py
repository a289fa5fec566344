"""Typer commands whose values are converted by Python itself.

Recent versions of Typer convert every value, a text too, with the help of pydantic, whose import
takes longer than all that `charrnn generate` does. charrnn's options are flags, texts, numbers and
lists of texts; what else there is to check about them is checked by those who know what they mean.
With a Typer that works otherwise, nothing is changed.
"""

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from charrnn.errors import ExitCode

NOUNS = {int: "a whole number", float: "a number"}


class PlainCommand(TyperCommand):
    """A command that converts its values without a library for it."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a reader of stdout that has gone is an end of its own, not a failure."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise typer.Exit(ExitCode.READER_GONE) from None

    def get_params(self, ctx: Any) -> list[Any]:
        """All parameters, --help included."""
        return _convert_plainly(super().get_params(ctx))


class PlainGroup(TyperGroup):
    """A group of commands that does so for its own options."""

    def get_params(self, ctx: Any) -> list[Any]:
        """All parameters, --help included."""
        return _convert_plainly(super().get_params(ctx))


def _convert_plainly(params: list[Any]) -> list[Any]:
    for param in params:
        descriptor = getattr(param, "type_descriptor", None)
        if descriptor is not None and hasattr(param, "_runtime_param"):
            param._runtime_param = _Plain(descriptor.annotation)
    return params


class _Plain:
    """Stands where Typer would put its own converter."""

    def __init__(self, annotation: Any) -> None:
        self._annotation = annotation

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value of a parameter, out of its text.

        Raises:
            typer.BadParameter: It is no number where one belongs.
        """
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        if isinstance(value, tuple):
            return list(value)
        if self._annotation not in NOUNS:
            return value
        try:
            return self._annotation(value)
        except ValueError as error:
            message = f"{value!r} is not {NOUNS[self._annotation]}."
            raise typer.BadParameter(message, ctx=ctx, param=param) from error
