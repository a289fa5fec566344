"""The options of a generation, each declared once: for the library, the command line and the docs.

A field's annotation says what is accepted, its `help` what it means. What messages say about an
option stands in backticks, so that the command line can put the option's own spelling there.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta

from charrnn.config.schema import CountOrZero, GenerateConfig, described
from charrnn.errors import UserError
from charrnn.messages import code_of, nearest
from charrnn.validation import check_bounds

Unknown = Literal["error", "replace", "skip", "nearest"]

RNG_SEED_LIMIT = 2**63
ConstraintKind = Literal["match", "grammar", "json_schema"]
CONSTRAINTS: tuple[ConstraintKind, ...] = get_args(ConstraintKind)


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationOptions(GenerateConfig):
    """The options of one generation; for those of `GenerateConfig` a run has its own defaults."""

    min_length: CountOrZero = described(
        0, "At least so many characters before a line, match or stop ends a text."
    )
    stop: list[Annotated[str, Meta(min_length=1)]] = field(
        default_factory=list, metadata={"help": "End a text before this string. Repeatable."}
    )
    keep_stop: bool = described(False, "End after the stop string, not before it.")
    allow: str | None = described(None, "Write these characters only.")
    ban: str = described("", "Never write these characters.")
    match: str | None = described(None, "Write only what this regular expression matches in full.")
    grammar: str | None = described(
        None, "Write only what this grammar, in Lark's syntax, derives."
    )
    json_schema: str | None = described(None, "Write only JSON that conforms to this JSON schema.")
    unknown: Unknown = described(
        "error",
        "A seed's characters that the model does not know: error, replace, "
        "skip, or nearest (the other case, or without accents).",
    )

    @property
    def is_endless(self) -> bool:
        """Whether no number of characters ends a text."""
        return self.length == 0

    @property
    def constraint(self) -> ConstraintKind | None:
        """The name of the option that texts are held to; None if there is none."""
        return next((name for name in CONSTRAINTS if getattr(self, name) is not None), None)


OPTION_NAMES = tuple(each.name for each in fields(GenerationOptions))


def change_options(options: GenerateConfig, changes: Mapping[str, Any]) -> GenerationOptions:
    """Give options other values, but for those that are None, and check them all.

    Raises:
        UserError: A name is unknown, a value is out of its range, or two contradict each other.
    """
    _refuse_unknown(changes)
    given = {name: value for name, value in changes.items() if value is not None}
    changed = GenerationOptions(**{**asdict(options), **given})
    check_bounds(changed)
    _refuse_half_characters(changed)
    _refuse_conflicts(changed)
    return changed


def check_count(name: str, count: int | None) -> None:
    """Check an argument that must be 1 or more where it is given.

    Raises:
        UserError: It is less.
    """
    if count is not None and count < 1:
        raise UserError(f"`{name}` is {count}; it must be 1 or more")


def choose_rng_seed(rng_seed: int | None) -> int:
    """Return the random seed that was given, or a fresh one, short enough to be written down.

    Raises:
        UserError: It is out of range.
    """
    if rng_seed is None:
        return int.from_bytes(os.urandom(4), "little")
    if not 0 <= rng_seed < RNG_SEED_LIMIT:
        raise UserError(f"`rng_seed` is {rng_seed}; it must be from 0 up to 2**63 - 1")
    return rng_seed


def _refuse_unknown(changes: Mapping[str, Any]) -> None:
    for name in changes:
        if name not in OPTION_NAMES:
            meant = nearest(name, OPTION_NAMES)
            raise UserError(
                f"`{name}` is not an option of a generation",
                hint=f"did you mean `{meant}`?" if meant else "",
            )


def _refuse_half_characters(options: GenerationOptions) -> None:
    """Refuse what no text has: a byte that is not UTF-8, half of a surrogate pair."""
    for name in ("stop", "allow", "ban", *CONSTRAINTS):
        text = "".join(getattr(options, name) or ())
        if half := next((char for char in text if "\ud800" <= char <= "\udfff"), None):
            raise UserError(f"`{name}` has a part that is no character: {code_of(half)}")


def _refuse_conflicts(options: GenerationOptions) -> None:
    if not options.is_endless and options.min_length > options.length:
        raise UserError(f"`min_length` {options.min_length} is more than `length` {options.length}")
    given = [name for name in CONSTRAINTS if getattr(options, name) is not None]
    if len(given) > 1:
        raise UserError(f"`{given[0]}` and `{given[1]}` exclude each other")
    if given and options.stop:
        raise UserError(
            f"`{given[0]}` and `stop` cannot be combined: what `stop` cuts would not be complete",
            hint=f"say in `{given[0]}` where a text ends",
        )
