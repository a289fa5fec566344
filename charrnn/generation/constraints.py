"""Text that keeps to a regular expression, a grammar or a JSON schema from its first character on.

llguidance (https://github.com/guidance-ai/llguidance) works out what may come next: derivatives of
regular expressions and an Earley parser, over the bytes of UTF-8. Each character of the vocabulary
is a token there, and one more token, of no character, is the end.

An expression is intersected with "so many of the characters that may be generated". So whatever is
allowed can be completed to a match within the length, and no text runs into a dead end. A grammar
or a schema is not regular and has no such intersection: there a text can reach a point where the
vocabulary lacks the next character, or its greatest length before it is complete. Both raise an
error; a text that ends without one is complete.

Shapes: V vocabulary.
"""

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from charrnn.errors import RunFailedError, UserError
from charrnn.generation.options import ConstraintKind
from charrnn.messages import quote, reason
from charrnn.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

    from charrnn.generation.utf8 import Speller, Utf8

BoolArray = npt.NDArray[np.bool_]

MAX_SOURCE_CHARACTERS = 1 << 20
"""The longest expression, grammar or schema that is read."""
MAX_LENGTH_TRIED = 1 << 17
"""How far a shortest match is looked for, which serves a hint alone."""
MAX_STATES = 250_000
"""States that texts share until they start again, each about 1.5 kB (llguidance's default)."""
_REPEAT_LIMIT = (1 << 32) - 1  # what a repetition counts up to; no text is as long
_ESCAPED = {"/": r"\/", "\n": r"\n", "\\\n": r"\n"}
_DIALECT = (
    "the dialect is that of Rust's regex: no look-around, backreferences or \\b, and ^ and $ only "
    "at the ends"
)


class Spelling(NamedTuple):
    """How the characters that may be written are spelled, where the ids are the bytes of UTF-8."""

    utf8: "Utf8"
    allow: str | None
    ban: str

    @property
    def character_class(self) -> str:
        """Those characters, as a regular expression."""
        if self.allow is not None:
            return f"[{_code_points(sorted(set(self.allow) - set(self.ban)))}]"
        return f"[^{_code_points(self.ban)}]" if self.ban else "(?s:.)"

    def can_be(self, char: str) -> bool:
        """Whether a character may be written."""
        return char not in self.ban and (self.allow is None or char in self.allow)


class Constraint:
    """What texts are held to, for one vocabulary and range of lengths; shared by all of them."""

    def __init__(
        self,
        option: str,
        grammar: str,
        vocabulary: Vocabulary,
        usable_V: BoolArray,
        min_length: int,
        length: int | None,
        utf8: "Utf8 | None" = None,
    ) -> None:
        """Use a grammar in Lark's syntax; `option` is what errors call it."""
        self.option = option
        self.vocabulary = vocabulary
        self.usable_V = usable_V
        self.min_length = min_length
        self.length = length
        self.utf8 = utf8
        all_usable = bool(usable_V[len(vocabulary.specials) :].all())
        any_V = None if all_usable else usable_V
        self.any_character_V = utf8.following(b"") if utf8 else any_V
        """What may be drawn where every character may; None if that is the whole vocabulary."""
        self._grammar = grammar
        self._tokenizer = _tokenizer(vocabulary)
        self.start = _matcher(self._tokenizer, grammar)
        """A matcher of the empty text. Its copies share what they have worked out."""

    @property
    def problem(self) -> str:
        """What llguidance finds wrong with the grammar; empty if nothing."""
        return self.start.get_error()

    def begin(self) -> "ConstraintState":
        """Return the state of an empty text."""
        return ConstraintState(self)

    def speller(self) -> "Speller | None":
        """Make what counts the characters of one text; None where the ids are characters."""
        if self.utf8 is None:
            return None
        from charrnn.generation.utf8 import Speller

        return Speller(self.utf8)

    def renew(self, full: "LLMatcher") -> None:
        """Begin with an empty memory if the one that a matcher shares is full."""
        if self.start is full:  # another text may have come first
            self.start = _matcher(self._tokenizer, self._grammar)


class ConstraintState:
    """The place of one text in a constraint.

    Where the text so far is complete, it may end. In lines mode the model says whether it does, by
    <eos>. A stream has no such sign, so any character may be drawn there, and one that does not
    lead on ends the text: it ends as probably as the model would leave the constraint.
    """

    def __init__(self, constraint: Constraint) -> None:
        self._constraint = constraint
        self._start = constraint.start
        self._matcher = self._start.deep_copy()
        self._ids: list[int] = []
        self._made = 0
        self._speller = constraint.speller()
        self._next_V = self._look_ahead()

    @property
    def is_complete(self) -> bool:
        """Whether the text satisfies the constraint and no longer one that begins with it could."""
        return self._may_end and not self._next_V.any()

    @property
    def is_stuck(self) -> bool:
        """Whether the text may neither end nor go on."""
        return not (self._may_end or self._next_V.any())

    def allowed(self) -> BoolArray | None:
        """The ids that may be drawn, (V,), those among them that end the text; None for all."""
        if not self._may_end:
            return self._next_V
        eos_id = self._constraint.vocabulary.eos_id
        if eos_id is None:
            return self._constraint.any_character_V
        ending_V = self._next_V.copy()
        ending_V[eos_id] = True
        return ending_V

    def take(self, id_: int) -> bool:
        """Go on with an id; False if it does not lead on, which ends the text.

        Raises:
            RunFailedError: The text may neither end nor go on (never with a regular expression),
                or what may come next takes too much time or memory to work out.
        """
        if not self._next_V[id_]:
            return False
        self._ids.append(id_)
        characters = self._constraint.vocabulary.characters
        self._made += self._speller is None or bool(self._speller.feed(characters[id_]))
        self._matcher.consume_token(id_)
        self._next_V = self._look_ahead()
        if self.is_stuck:
            self._raise_stuck()
        return True

    def _look_ahead(self) -> BoolArray:
        """Work out which ids lead on, (V,), and whether the text may end."""
        constraint, made = self._constraint, self._made
        mask = self._matcher.compute_bitmask()
        if _has_failed(self._matcher):
            mask = self._start_again()
        self._may_end = self._matcher.is_accepting() and made >= constraint.min_length
        if self._matcher.is_stopped() or made == constraint.length:
            return np.zeros_like(constraint.usable_V)
        bits = np.frombuffer(mask, np.uint8)
        allowed_V = np.unpackbits(bits, count=len(constraint.usable_V), bitorder="little")
        usable_V = self._speller.following() if self._speller else constraint.usable_V
        return allowed_V.view(np.bool_) & usable_V

    def _start_again(self) -> bytes:
        """Bring a matcher with a new memory to this place; return its mask.

        Raises:
            RunFailedError: This text alone takes too much.
        """
        self._constraint.renew(self._start)
        self._start = self._constraint.start
        self._matcher = self._start.deep_copy()
        self._matcher.consume_tokens(self._ids)
        mask = self._matcher.compute_bitmask()
        if _has_failed(self._matcher):
            raise RunFailedError(
                f"{self._constraint.option} takes too much time or memory after "
                f"{self._made:,} characters",
                hint="simplify it, or lower `length`",
            )
        return mask

    def _raise_stuck(self) -> NoReturn:
        option, made = self._constraint.option, self._made
        if made == self._constraint.length:
            message = f"the text is not complete by {option} after `length` {made:,} characters"
            hint = "raise `length`, or bound what repeats (maxLength and maxItems in a schema)"
        elif self._matcher.is_accepting():
            message = f"by {option} the text ends after {made:,} characters, before `min_length`"
            hint = f"lower `min_length` {self._constraint.min_length:,}"
        else:
            vocabulary = self._constraint.vocabulary
            tail = vocabulary.text_of(vocabulary.decode(np.array(self._ids[-20:])))
            message = f"no character that may be generated goes on after {quote(tail)} by {option}"
            hint = "what comes next there is not in the model's vocabulary, or not allowed"
        raise RunFailedError(message, hint=hint)


def compile_constraint(
    kind: ConstraintKind,
    source: str,
    *,
    vocabulary: Vocabulary,
    usable_V: BoolArray,
    spelling: Spelling | None = None,
    min_length: int = 0,
    length: int | None = None,
) -> Constraint:
    r"""Prepare what texts are held to.

    Args:
        kind: what `source` is. match: a regular expression that the whole text matches, in the
            dialect of Rust's `regex`: no look-around, backreferences or `\b`; `^` and `$` at the
            ends alone. grammar: a context-free grammar in Lark's syntax, as llguidance reads it.
            json_schema: a JSON schema; texts are JSON without spaces that conforms to it.
        source: the expression, grammar or schema.
        vocabulary: the model's characters.
        usable_V: (V,) the characters that may be generated.
        spelling: which may be where the ids are their bytes; None where they are characters.
        min_length: least number of characters of a text.
        length: greatest number of characters of a text; None without limit.

    Raises:
        UserError: It is not understood, too large, or no text of these characters and lengths
            can keep to it.
    """
    option = f"`{kind}`"
    if len(source) > MAX_SOURCE_CHARACTERS:
        raise UserError(
            f"{option} has {len(source):,} characters; at most {MAX_SOURCE_CHARACTERS:,} are read"
        )
    if kind == "match":
        return _compile_match(source, vocabulary, usable_V, spelling, min_length, length)
    grammar = _translate_schema(source) if kind == "json_schema" else source
    utf8 = spelling and spelling.utf8
    constraint = Constraint(option, grammar, vocabulary, usable_V, min_length, length, utf8)
    if constraint.problem:
        raise _grammar_error(option, constraint.problem)
    if constraint.begin().is_stuck:
        raise UserError(
            f"no text can keep to {option}",
            hint="none of the characters that it may begin with can be generated",
        )
    return constraint


def _compile_match(
    expression: str,
    vocabulary: Vocabulary,
    usable_V: BoolArray,
    spelling: Spelling | None,
    min_length: int,
    length: int | None,
) -> Constraint:
    """Compile a regular expression, or say why no text can match it."""
    characters = [vocabulary.characters[id_] for id_ in np.flatnonzero(usable_V)]
    usable = spelling.character_class if spelling else f"[{_code_points(characters)}]"
    utf8 = spelling and spelling.utf8

    def compiled(least: int, most: int | None) -> Constraint:
        grammar = _translate_regex(expression, usable, least, most)
        return Constraint("`match`", grammar, vocabulary, usable_V, least, most, utf8)

    def is_possible(least: int, most: int | None) -> bool:
        constraint = compiled(least, most)
        return not constraint.problem and not constraint.begin().is_stuck

    constraint = compiled(min_length, length)
    if constraint.problem:
        raise _regex_error(expression, constraint.problem)
    if not constraint.begin().is_stuck:
        return constraint
    if not is_possible(0, None):
        raise _no_match_error(expression, spelling.can_be if spelling else characters.__contains__)
    if length is not None and not is_possible(0, length):
        more = range(length + 1, MAX_LENGTH_TRIED)
        shortest = length + 1 + bisect_left(more, True, key=lambda most: is_possible(0, most))
        hint = f"the shortest match has {shortest:,} characters: raise `length`"
    else:
        fewer = range(1, min_length)
        possible = bisect_left(fewer, True, key=lambda least: not is_possible(least, length))
        hint = f"a `min_length` of {possible:,} is possible"
    lengths = f"{min_length:,} or more" if length is None else f"{min_length:,} to {length:,}"
    raise UserError(
        f"no text that matches `match` {quote(expression)} has {lengths} characters", hint=hint
    )


def _code_points(characters: Iterable[str]) -> str:
    """Write characters so that they can stand in the brackets of an expression."""
    return "".join(f"\\u{{{ord(char):x}}}" for char in characters)


def _translate_regex(expression: str, usable: str, least: int, most: int | None) -> str:
    """Return the grammar of the matches of so many characters, each of which matches `usable`."""
    limit = "" if most is None else min(most, _REPEAT_LIMIT)
    counted = f"/{usable}{{{min(least, _REPEAT_LIMIT)},{limit}}}/"
    if (len(expression) - len(expression.rstrip("\\"))) % 2:
        raise _not_understood(expression, "a lone backslash", len(expression))
    if "\n" in expression and re.search(r"\(\?[a-zA-Z]*x", expression):
        # Its comments would not end where their lines do, once line ends are escaped.
        place = expression.index("\n") + 1
        raise _not_understood(expression, "a line end in a verbose expression", place)
    return f"start: T\nT: /{_escaped(expression)}/ & {counted}"


def _escaped(expression: str) -> str:
    """Write an expression so that it can stand between the slashes of a grammar."""
    parts = re.findall(r"\\.|.", expression, re.DOTALL)
    return "".join(_ESCAPED.get(part, part) for part in parts)


def _translate_schema(schema: str) -> str:
    """Return the grammar of the JSON that conforms to a schema; everything does to `true`.

    Raises:
        UserError: It is no JSON, or no schema.
    """
    try:
        value = json.loads(schema)
    except (ValueError, RecursionError) as error:
        raise UserError(f"`json_schema` is not JSON: {reason(error)}") from error
    if value is True:
        value = {}
    if not isinstance(value, dict):
        raise UserError("`json_schema` is not a JSON schema: it is no JSON object")
    compact = {"x-guidance": {"whitespace_flexible": False}}
    return f"start: %json {json.dumps(compact | value)}"


class _Characters:
    """A vocabulary as llguidance wants a tokenizer: each character is a token, the end the last."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self.eos_token_id = len(vocabulary)
        self.bos_token_id = None
        self.special_token_ids = [*range(len(vocabulary.specials)), self.eos_token_id]
        encoding = "latin-1" if vocabulary.is_utf8 else "utf-8"
        self.tokens = [*(each.encode(encoding) for each in vocabulary.characters), b"<end>"]

    def __call__(self, text: str) -> list[int]:
        ids: list[int] = self._vocabulary.encode(self._vocabulary.units_of(text)).tolist()
        return ids


def _tokenizer(vocabulary: Vocabulary) -> "LLTokenizer":
    from llguidance import LLTokenizer, TokenizerWrapper

    return LLTokenizer(TokenizerWrapper(_Characters(vocabulary)), slices=[])


def _matcher(tokenizer: "LLTokenizer", grammar: str) -> "LLMatcher":
    from llguidance import LLMatcher, LLParserLimits

    limits = LLParserLimits(verbose_errors=False, max_lexer_states=MAX_STATES)
    # Bytes that are forced would be offered as whole characters, which they may only be parts of.
    source = LLMatcher.grammar_from_lark(f'{grammar}\n%llguidance {{"no_forcing": true}}\n')
    return LLMatcher(tokenizer, source, log_level=0, limits=limits)


def _has_failed(matcher: "LLMatcher") -> bool:
    """Whether a matcher has given up; that nothing may follow is no failure."""
    return matcher.is_error() and not matcher.get_error().startswith("NoExtension")


# --- Errors, in one line: llguidance has several, with an excerpt of what charrnn wrote ----------


def _regex_error(expression: str, problem: str) -> UserError:
    """Translate what llguidance says of an expression."""
    if kind := re.search(r"lookarounds not supported yet; (\w+)", problem):
        what = "a word boundary" if kind[1].startswith("Word") else "an anchor in the middle"
        return _not_understood(expression, f"{what} is not supported")
    if why := re.search(r"^error: (.*)", problem, re.MULTILINE):
        marked = re.search(r"^ {4}( *)\^", problem, re.MULTILINE)
        return _not_understood(expression, why[1], _place(expression, marked))
    return UserError(
        f"`match` {quote(expression)} takes too much time or memory",
        hint="simplify it, or lower `min_length` and `length`",
    )


def _place(expression: str, marked: re.Match[str] | None) -> int | None:
    """Return the number, from 1, of the character under the mark, which counts escapes too."""
    if marked is None:
        return None
    sizes = range(len(expression))
    return bisect_right(sizes, len(marked[1]), key=lambda size: len(_escaped(expression[:size])))


def _not_understood(expression: str, why: str, place: int | None = None) -> UserError:
    where = "" if place is None else f" at character {place}"
    return UserError(
        f"`match` {quote(expression)} is not understood: {reason(ValueError(why))}{where}",
        hint=_DIALECT,
    )


def _no_match_error(expression: str, is_usable: Callable[[str], bool]) -> UserError:
    """Say which of the expression's characters cannot be generated."""
    literals = re.sub(
        r"\\(?:\w\{[^}]*\}|.)|\(\?[^:)]*[:)]|\{[^}]*\}|[][()|*+?.^$-]", "", expression
    )
    missing = [quote(char) for char in sorted(set(literals)) if not is_usable(char)]
    hint = "its parts contradict each other, or need characters that may not be generated"
    if missing:
        hint = f"it names characters that may not be generated: {', '.join(missing[:5])}"
    return UserError(f"no text at all can match `match` {quote(expression)}", hint=hint)


def _grammar_error(option: str, problem: str) -> UserError:
    """Translate what llguidance says of a grammar or a schema."""
    why = re.search(r"^error: (.*)", problem, re.MULTILINE)
    located = re.match(r"(?:at )?(\d+)\((\d+)\): (.*)", problem)
    first = located[3] if located else problem.partition("\n")[0]
    said = reason(ValueError(f"{first} {why[1]}" if why else first))
    place = f" at line {located[1]}, column {located[2]}" if located else ""
    return UserError(f"{option} is not understood{place}: {said}")
