"""What may be asked of a generation: the run's own defaults, and what a user wants beyond them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta

from charrnn.config.schema import CountOrZero, GenerateConfig
from charrnn.errors import UserError
from charrnn.validation import check_bounds, option_name


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateOptions(GenerateConfig):
    """The settings of one generation; those of `GenerateConfig` come from the run by default."""

    min_length: CountOrZero = 0
    """No text ends with fewer characters than this."""
    stop: list[Annotated[str, Meta(min_length=1)]] = field(default_factory=list)
    """End a text as soon as one of these strings is complete, and leave the string out."""
    keep_stop: bool = False
    """Leave the string that ended a text in it."""
    allow: str | None = None
    """Generate only these characters; null is all."""
    ban: str = ""
    """Never generate these characters."""
    match: str | None = None
    """A regular expression that every text matches in full."""
    unknown: Literal["error", "replace", "skip", "nearest"] = "error"
    """What to do with a character of a seed that the vocabulary does not have."""

    @property
    def is_endless(self) -> bool:
        """Whether no number of characters ends a text."""
        return self.length == 0


def options_from(defaults: GenerateConfig, wishes: Mapping[str, Any]) -> GenerateOptions:
    """The run's defaults, changed by every wish that is not None.

    Raises:
        UserError: A wish is out of its range, or two contradict each other.
    """
    given = {name: value for name, value in wishes.items() if value is not None}
    options = GenerateOptions(**{**asdict(defaults), **given})
    check_bounds(options, naming=option_name)
    if not options.is_endless and options.min_length > options.length:
        raise UserError(f"--min-length {options.min_length} is more than --length {options.length}")
    if options.match is not None and options.stop:
        raise UserError(
            "--match and --stop cannot be combined: what --stop cuts would not match in full",
            hint="say in the expression where a text ends",
        )
    return options
