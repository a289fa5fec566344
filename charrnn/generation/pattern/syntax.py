r"""Reading a regular expression into a tree.

Python's own `re.compile` decides first whether the expression is valid, so this reader only meets
valid ones and need not judge them. It takes apart the structure (groups, alternatives, repeats,
anchors, flags) and leaves every single-character part (`x`, `.`, `\d`, `[^a-z]`) as the slice of
the expression that it is: `alphabet` asks `re` which characters such a slice stands for. No part of
the private parser inside `re` is used, and every refusal names its place.
"""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import NoReturn

from charrnn.errors import UserError
from charrnn.messages import quote

MAX_EXPRESSION = 10_000
"""Longest expression that is read, in characters."""
MAX_NESTING = 100
"""Most groups within groups."""

SUPPORTED = (
    "--match understands everything regular: characters, '.', classes, alternatives, groups, "
    "* + ? {m,n}, the anchors ^ $ \\A \\Z \\b \\B and the flags i, s, m, x, a, u"
)


class AnchorKind(Enum):
    """A condition on the place between two characters, its flags already taken into account."""

    TEXT_START = auto()
    LINE_START = auto()
    TEXT_END = auto()
    LAST_LINE_END = auto()
    LINE_END = auto()
    BOUNDARY = auto()
    NO_BOUNDARY = auto()
    ASCII_BOUNDARY = auto()
    NO_ASCII_BOUNDARY = auto()


@dataclass(frozen=True, slots=True)
class Characters:
    """One character out of those that `re` lets `source` match under `flags`."""

    source: str
    flags: re.RegexFlag


@dataclass(frozen=True, slots=True)
class Anchor:
    """A place that meets a condition; no character is read."""

    kind: AnchorKind


@dataclass(frozen=True, slots=True)
class Sequence:
    """The parts one after another; no parts stand for the empty text."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Any one of the options."""

    options: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`part` from `least` to `most` times (`None`: without limit).

    Greedy and lazy repeats match the same texts in full; a possessive one may match fewer.
    `place` is where the repeat's sign stands in the expression, counted from 1.
    """

    part: "Node"
    least: int
    most: int | None
    possessive: bool
    place: int


Node = Characters | Anchor | Sequence | Choice | Repeat


def parse(expression: str) -> Node:
    """Read a regular expression of Python's dialect.

    Raises:
        UserError: the expression is invalid, too long or nested too deeply, or has a construct
            that no finite automaton over characters can follow.
    """
    flags = _checked_flags(expression)
    return _Reader(expression).choice(flags)


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    pending = [node]
    while pending:
        node = pending.pop()
        yield node
        match node:
            case Sequence(parts):
                pending.extend(parts)
            case Choice(options):
                pending.extend(options)
            case Repeat(part):
                pending.append(part)


def compile_quietly(source: str, flags: int = 0) -> re.Pattern[str]:
    """`re.compile` without its warnings, which would name no place that the user knows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return re.compile(source, flags)


def _checked_flags(expression: str) -> re.RegexFlag:
    """The flags that hold for the whole of an expression that `re` finds valid."""
    if len(expression) > MAX_EXPRESSION:
        raise UserError(
            f"--match: the expression has {len(expression):,} characters; "
            f"at most {MAX_EXPRESSION:,} are read",
            hint="shorten the expression",
        )
    try:
        return re.RegexFlag(compile_quietly(expression).flags)
    except re.error as error:
        place = "" if error.pos is None else f" at character {error.pos + 1}"
        raise UserError(
            f"--match: {error.msg}{place} of {quote(expression)}",
            hint="check the expression; it is read as Python's re module reads it",
        ) from None
    except (OverflowError, RecursionError) as error:
        _refuse_size(expression, error)


def _refuse_size(expression: str, error: Exception) -> NoReturn:
    """Say which of `re`'s own limits the expression went beyond."""
    reason = "a repeat's number is too large"
    if isinstance(error, RecursionError):
        reason = "groups are nested too deeply"
    raise UserError(
        f"--match: {reason} in {quote(expression)}", hint="simplify the expression"
    ) from None


_ESCAPE = re.compile(
    r"\\(?:x..|u.{4}|U.{8}|N\{[^}]*\}|0[0-7]{0,2}|[1-7][0-7]{2}|(?P<group>[1-9][0-9]?)|.)",
    re.DOTALL,
)
_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_COUNT = re.compile(r"\{(?!\})([0-9]*)(,?)([0-9]*)\}")
_GROUP = re.compile(r"\((?:\?(?:P<[^>]*>|(?P<on>[a-z]*)(?:-(?P<off>[a-z]+))?:))?")
# In a comment, too, a backslash and what follows it are one token to re.
_IGNORED = re.compile(r"\(\?#(?:\\.|[^)\\])*\)|\(\?[a-zA-Z]+\)", re.DOTALL)
_IGNORED_VERBOSE = re.compile(
    rf"{_IGNORED.pattern}|[ \t\n\r\v\f]|\#(?:\\.|[^\n\\])*(?:\n|\Z)", re.DOTALL
)

_REFUSED_GROUPS = {
    "(?=": "a lookahead",
    "(?!": "a negative lookahead",
    "(?<=": "a lookbehind",
    "(?<!": "a negative lookbehind",
    "(?>": "an atomic group",
    "(?(": "a condition on a group",
    "(?P=": "a backreference",
}
_SIMPLE_REPEATS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_FLAGS = {
    "i": re.IGNORECASE,
    "s": re.DOTALL,
    "m": re.MULTILINE,
    "x": re.VERBOSE,
    "a": re.ASCII,
    "u": re.UNICODE,
}
_NO_FLAGS = re.RegexFlag(0)
_CHARACTER_FLAGS = re.IGNORECASE | re.DOTALL | re.ASCII


class _Reader:
    """A recursive-descent reader of one valid expression."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._at = 0
        self._depth = 0

    def choice(self, flags: re.RegexFlag) -> Node:
        """Alternatives up to the end of the group or the expression."""
        options = [self._sequence(flags)]
        while self._take("|"):
            options.append(self._sequence(flags))
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _sequence(self, flags: re.RegexFlag) -> Node:
        parts: list[Node] = []
        self._skip_ignored(flags)
        while self._next() not in ("", "|", ")"):
            bounds = self._bounds()
            if bounds is None:
                parts.append(self._item(flags))
            else:
                parts[-1] = self._repeat(parts[-1], bounds)
            self._skip_ignored(flags)
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _skip_ignored(self, flags: re.RegexFlag) -> None:
        """Pass over comments, flags that hold everywhere and, in verbose mode, white space."""
        ignored = _IGNORED_VERBOSE if flags & re.VERBOSE else _IGNORED
        while found := ignored.match(self._expression, self._at):
            self._at = found.end()

    def _bounds(self) -> tuple[int, int | None] | None:
        """Take a repeat's sign, if one stands here: the least and the most times."""
        sign = self._next()
        if sign in _SIMPLE_REPEATS:
            self._at += 1
            return _SIMPLE_REPEATS[sign]
        found = _COUNT.match(self._expression, self._at)
        if found is None:
            return None
        self._at = found.end()
        least, comma, most = found.groups()
        if not comma:
            return int(least), int(least)
        return int(least or 0), int(most) if most else None

    def _repeat(self, part: Node, bounds: tuple[int, int | None]) -> Repeat:
        place = self._at
        lazy = self._take("?")
        possessive = not lazy and self._take("+")
        repeat = Repeat(part, *bounds, possessive=possessive, place=place)
        return _without_idle_turns(repeat)

    def _item(self, flags: re.RegexFlag) -> Node:
        """One group, class, escape, anchor or literal character."""
        match self._next():
            case "(":
                return self._group(flags)
            case "[":
                return Characters(self._slice(_CLASS), flags & _CHARACTER_FLAGS)
            case "\\":
                return self._escape(flags)
            case sign:
                self._at += 1
                return _single(sign, flags)

    def _group(self, flags: re.RegexFlag) -> Node:
        self._refuse_irregular_group()
        opening = _GROUP.match(self._expression, self._at)
        assert opening is not None  # re.compile took the expression
        self._at = opening.end()
        self._go_deeper()
        inside = self.choice(_with_changes(flags, opening["on"] or "", opening["off"] or ""))
        self._depth -= 1
        self._take(")")
        return inside

    def _escape(self, flags: re.RegexFlag) -> Node:
        place = self._at + 1
        found = _ESCAPE.match(self._expression, self._at)
        assert found is not None  # re.compile took the expression
        if found["group"]:
            self._refuse("a backreference", found[0], place)
        self._at = found.end()
        kind = _escaped_anchor(found[0], flags)
        return Anchor(kind) if kind else Characters(found[0], flags & _CHARACTER_FLAGS)

    def _go_deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise UserError(
                f"--match: groups are nested more than {MAX_NESTING} deep "
                f"at character {self._at} of the expression",
                hint="simplify the expression",
            )

    def _refuse_irregular_group(self) -> None:
        for opening, name in _REFUSED_GROUPS.items():
            if self._expression.startswith(opening, self._at):
                self._refuse(name, opening, self._at + 1)

    def _refuse(self, name: str, written: str, place: int) -> NoReturn:
        raise UserError(
            f"--match {quote(self._expression)} has {name}, {written}, at character {place}, "
            "which cannot be guaranteed",
            hint=SUPPORTED,
        )

    def _next(self) -> str:
        return self._expression[self._at : self._at + 1]

    def _take(self, sign: str) -> bool:
        """Step over `sign` if it comes next."""
        taken = self._next() == sign
        self._at += taken
        return taken

    def _slice(self, token: re.Pattern[str]) -> str:
        found = token.match(self._expression, self._at)
        assert found is not None  # re.compile took the expression
        self._at = found.end()
        return found[0]


def _without_idle_turns(repeat: Repeat) -> Repeat:
    """Write `(x*){m,n}` as `(x+){0,n}`: the same texts, with far fewer ways to read each."""
    inner = repeat.part
    if repeat.possessive or not isinstance(inner, Repeat):
        return repeat
    if inner.possessive or inner.least > 0 or inner.most == 0:
        return repeat
    turns = inner.part if inner.most == 1 else replace(inner, least=1)
    return replace(repeat, part=turns, least=0)


def _single(sign: str, flags: re.RegexFlag) -> Node:
    """What an unescaped character outside classes stands for."""
    multiline = bool(flags & re.MULTILINE)
    match sign:
        case "^":
            return Anchor(AnchorKind.LINE_START if multiline else AnchorKind.TEXT_START)
        case "$":
            return Anchor(AnchorKind.LINE_END if multiline else AnchorKind.LAST_LINE_END)
        case ".":
            return Characters(".", flags & _CHARACTER_FLAGS)
        case _:
            return Characters(re.escape(sign), flags & _CHARACTER_FLAGS)


def _escaped_anchor(escape: str, flags: re.RegexFlag) -> AnchorKind | None:
    ascii_only = bool(flags & re.ASCII)
    match escape:
        case "\\A":
            return AnchorKind.TEXT_START
        case "\\Z" | "\\z":
            return AnchorKind.TEXT_END
        case "\\b":
            return AnchorKind.ASCII_BOUNDARY if ascii_only else AnchorKind.BOUNDARY
        case "\\B":
            return AnchorKind.NO_ASCII_BOUNDARY if ascii_only else AnchorKind.NO_BOUNDARY
        case _:
            return None


def _with_changes(flags: re.RegexFlag, on: str, off: str) -> re.RegexFlag:
    """The flags inside a group such as `(?i-s:...)`."""
    if "a" in on or "u" in on:
        flags &= ~(re.ASCII | re.UNICODE)
    return (flags | _combined(on)) & ~_combined(off)


def _combined(letters: str) -> re.RegexFlag:
    flags = _NO_FLAGS
    for letter in letters:
        flags |= _FLAGS.get(letter, _NO_FLAGS)
    return flags
