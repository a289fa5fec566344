"""What is wrong with an expression, a grammar or a schema, and where, in one line.

llguidance reports several lines, with an excerpt of a grammar that is partly of charrnn's making.
"""

import re
from collections.abc import Iterable

from charrnn.errors import UserError
from charrnn.messages import quote, reason

DIALECT = (
    "the dialect is that of Rust's regex: no look-around, backreferences or \\b, and ^ and $ only "
    "at the ends"
)


_ESCAPED = {"/": r"\/", "\n": r"\n", "\\\n": r"\n"}


def escape_regex(expression: str) -> str:
    r"""Write an expression so that it can stand between the slashes of a grammar.

    Raises:
        UserError: It ends in a lone backslash; or it is verbose, `(?x)`, and has several lines,
            whose comments would then not end where their lines do.
    """
    if (len(expression) - len(expression.rstrip("\\"))) % 2:
        raise _not_understood(expression, "a lone backslash", len(expression))
    if "\n" in expression and re.search(r"\(\?[a-zA-Z]*x", expression):
        place = expression.index("\n") + 1
        raise _not_understood(expression, "a line end in a verbose expression", place)
    return "".join(_ESCAPED.get(part, part) for part in _parts(expression))


def regex_error(expression: str, problem: str) -> UserError:
    """Translate what llguidance says of an expression that `escape_regex` made ready."""
    kind = re.search(r"lookarounds not supported yet; (\w+)", problem)
    if kind:
        what = "a word boundary" if kind[1].startswith("Word") else "an anchor in the middle"
        return _not_understood(expression, f"{what} is not supported")
    why = re.search(r"^error: (.*)", problem, re.MULTILINE)
    if why:
        marked = re.search(r"^ {4}( *)\^", problem, re.MULTILINE)
        place = _place(expression, len(marked[1])) if marked else None
        return _not_understood(expression, why[1], place)
    return UserError(
        f"`match` {quote(expression)} takes too much time or memory",
        hint="simplify it, or lower `min_length` and `length`",
    )


def grammar_error(option: str, problem: str) -> UserError:
    """Translate what llguidance says of a grammar or a schema."""
    why = re.search(r"^error: (.*)", problem, re.MULTILINE)
    located = re.match(r"(?:at )?(\d+)\((\d+)\): (.*)", problem)
    first = located[3] if located else problem.partition("\n")[0]
    said = reason(ValueError(f"{first} {why[1]}" if why else first))
    place = f" at line {located[1]}, column {located[2]}" if located else ""
    return UserError(f"{option} is not understood{place}: {said}")


def no_match_error(expression: str, characters: Iterable[str]) -> UserError:
    """Say which of the expression's characters cannot be generated."""
    literals = re.sub(
        r"\\(?:\w\{[^}]*\}|.)|\(\?[^:)]*[:)]|\{[^}]*\}|[][()|*+?.^$-]", "", expression
    )
    known = set(characters)
    missing = [quote(char) for char in dict.fromkeys(literals) if char not in known]
    hint = "its parts contradict each other, or need characters that may not be generated"
    if missing:
        hint = f"it names characters that may not be generated: {', '.join(missing[:5])}"
    return UserError(f"no text at all can match `match` {quote(expression)}", hint=hint)


def length_error(expression: str, least: int, most: int | None, hint: str) -> UserError:
    """Say that there are matches, but none as long as asked for."""
    return UserError(
        f"no text that matches `match` {quote(expression)} has {_wording(least, most)} characters",
        hint=hint,
    )


def _not_understood(expression: str, why: str, place: int | None = None) -> UserError:
    where = "" if place is None else f" at character {place}"
    return UserError(
        f"`match` {quote(expression)} is not understood: {reason(ValueError(why))}{where}",
        hint=DIALECT,
    )


def _parts(expression: str) -> list[str]:
    """Split an expression into characters and pairs of a backslash and a character."""
    return re.findall(r"\\.|.", expression, re.DOTALL)


def _place(expression: str, index: int) -> int:
    """Return the number, from 1, of the character that is at this index once escaped."""
    place = 1
    for part in _parts(expression):
        index -= len(_ESCAPED.get(part, part))
        if index < 0:
            break
        place += len(part)
    return place


def _wording(least: int, most: int | None) -> str:
    """Return a range of lengths in words."""
    if most is None:
        return f"{least:,} or more"
    if least == most:
        return f"exactly {least:,}"
    return f"between {least:,} and {most:,}" if least else f"at most {most:,}"
