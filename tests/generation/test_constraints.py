"""Text held to an expression, a grammar or a schema: `re`, a recogniser and `jsonschema` decide.

Small alphabets let every text up to some length be tried, so most claims are checked without gaps.
"""

import contextlib
import itertools
import json
import random
import re
import subprocess
import sys
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.errors import RunFailedError, UserError
from charrnn.generation import constraints
from charrnn.generation.constraints import Constraint, ConstraintState, compile_constraint
from charrnn.generation.options import CONSTRAINTS
from charrnn.text.vocabulary import Vocabulary


def compile_for(
    alphabet: str,
    *,
    banned: str = "",
    lines: bool = True,
    length: int | None = None,
    **options: Any,
) -> tuple[Constraint, Vocabulary]:
    """Compile a constraint for a vocabulary of these characters."""
    vocabulary = Vocabulary.from_characters(alphabet, lines=lines)
    usable_V = np.array([len(c) == 1 and c not in banned for c in vocabulary.characters])
    kind = next(kind for kind in CONSTRAINTS if kind in options)
    source = options.pop(kind)
    constraint = compile_constraint(
        kind, source, vocabulary=vocabulary, usable_V=usable_V, length=length, **options
    )
    return constraint, vocabulary


def follow(constraint: Constraint, ids: list[int]) -> ConstraintState:
    state = constraint.begin()
    assert all(state.take(id_) for id_ in ids)
    return state


def language(alphabet: str, **options: Any) -> list[str]:
    """Every text that a constraint lets end, none if it is refused as impossible.

    In lines mode <eos> is allowed just where the text may end. A place where nothing is allowed
    would be a dead end: there must be none.
    """
    try:
        constraint, vocabulary = compile_for(alphabet, **options)
    except UserError as error:
        assert "no text" in error.message  # noqa: PT017 - others are not expected here
        return []
    texts, unread = [], [[]]  # type: ignore[var-annotated]
    while unread:
        ids = unread.pop()
        allowed_V = follow(constraint, ids).allowed()
        assert allowed_V is not None
        assert allowed_V.any()
        if allowed_V[vocabulary.eos_id]:
            texts.append(vocabulary.decode(np.array(ids, np.intp)))
        unread += [[*ids, id_] for id_ in np.flatnonzero(allowed_V).tolist() if id_ > 3]
    return sorted(texts)


def texts_up_to(length: int, alphabet: str) -> list[str]:
    sizes = range(length + 1)
    return ["".join(text) for n in sizes for text in itertools.product(alphabet, repeat=n)]


def matches(expression: str, texts: list[str]) -> list[str]:
    matcher = re.compile(expression)
    return sorted(text for text in texts if matcher.fullmatch(text))


def walk(constraint: Constraint, vocabulary: Vocabulary, seed: int, end: float = 0.1) -> str:
    """Draw allowed ids at random, <eos> with probability `end`; return the text that has ended."""
    choose = random.Random(seed)
    state, text = constraint.begin(), ""
    while not state.is_complete:
        allowed_V = state.allowed()
        assert allowed_V is not None
        ids = [id_ for id_ in np.flatnonzero(allowed_V).tolist() if id_ > 3]
        if allowed_V[3] and (not ids or choose.random() < end):
            break
        id_ = choose.choice(ids)
        assert state.take(id_)
        text += vocabulary.characters[id_]
    return text


# --- Regular expressions --------------------------------------------------------------------------

# Over a, b, c, newline: what every construct means that Python and Rust both have.
EXPRESSIONS = [
    "",
    "a",
    "abc",
    "a|b",
    "a|bc|",
    "|",
    "(?:)",
    "()",
    "(a)(b)(c)",
    "(?P<first>a)(?P<second>b|c)*",
    "(?:ab|a)(?:bc|c)?",
    "a*",
    "a+",
    "a?",
    "a*?b",
    "a+?",
    "a??b",
    "a{3}",
    "a{2,3}",
    "a{2,}",
    "a{0}b",
    "(ab){1,2}?c",
    "(a{2}){0,2}b",
    "(a{2}){2}",
    "(a?){3}",
    "(a?b?){2}",
    "(a*)*",
    "(a*b*)*c",
    "(a|b?)+c",
    "((a|b)*c)*",
    "(a+|b+|c+)*",
    "(?:a|ab)(?:c|bcc)?",
    ".",
    ".*",
    ".+b",
    "(?s:.)+",
    "(?s).a",
    "[ab]",
    "[^a]",
    "[^\\n]*",
    "[a-c]{2}",
    "[]a]|[^]b]",
    "[a\\]-]c",
    "[\\w]",
    "[^\\W]+",
    "\\w+",
    "\\W",
    "\\s*",
    "\\S+",
    "\\d|\\D",
    "\\x61\\u0062\\U00000063",
    "a\nb",
    "a\\\n",
    "[\n]+",
    "(?i)A[B]c",
    "(?i:A)b|(?-i:c)",
    "(?i)a(?-i:B|b)C",
    "(?x) a b # c",
    "(?x) a + [b]",
    "^a$",
    "^",
    "$",
    "a$",
    "^a|b$",
    "(?i)^A$",
    "\\Aa",
    "(?s).*$",
    "\\{|a",
    "/|a/b|\\/c|[/]a",
    "a&b|~a|a",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_texts_that_may_end_are_those_that_re_matches_in_full(expression: str) -> None:
    alphabet = "abc/\n" if "/" in expression else "abc\n"
    expected = matches(expression, texts_up_to(4, alphabet))
    assert language(alphabet, match=expression, length=4) == expected


CHARACTERS = "aAkK\u212asS\u017fßẞiIéÉµμσςΣ12٣५_-. \n\r\t\x0b\x00\x85\u00a0\u2028中\U0001f600"
SINGLE_CHARACTERS = [
    *["\\d", "\\D", "\\w", "\\W", "\\s", "\\S", ".", "(?s).", "(?i)k", "(?i)K", "(?i)s"],
    *["(?i)[s-t]", "(?i)[^k]", "(?i)ß", "(?i)σ", "(?i)[à-ý]", "(?i)[^\\W_]", "[\\d\\s]"],
    *["[^\\d\\s]", "[^\\D]", "[\u4e00-\u9fff]", "\U0001f600", "é|中", "[éÉ]"],
]


@pytest.mark.parametrize("expression", SINGLE_CHARACTERS)
def test_a_class_holds_the_very_characters_that_re_finds_in_it(expression: str) -> None:
    expected = matches(expression, list(CHARACTERS))
    assert language(CHARACTERS, match=expression, length=1, min_length=1) == expected


CLASSES = ["a", "b", "é", "[aé]", "[^a]", "\\n", "-", ".", "\\w", "\\W", "\\s", "(?i:B)", "(?s:.)"]
SUFFIXES = ["*", "+", "?", "{2}", "{1,2}", "{0,2}", "{2,}", "*?", "+?", "??"]


def larger(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(parts, parts).map("".join),
        st.tuples(parts, parts).map("(?:{0[0]}|{0[1]})".format),
        st.tuples(st.sampled_from(["", "?:", "?i:", "?s:"]), parts).map("({0[0]}{0[1]})".format),
        st.tuples(parts, st.sampled_from(SUFFIXES)).map("(?:{0[0]}){0[1]}".format),
    )


def is_quick_for_re(expression: str) -> bool:
    """Whether `re` will not try exponentially many ways: few repeats, and not too deep."""
    return len(re.findall(r"[*+?}](?!:)", expression)) <= 6


PATTERNS = st.recursive(st.sampled_from([*CLASSES, ""]), larger, max_leaves=6).filter(
    is_quick_for_re
)


@settings(max_examples=100, deadline=None)
@given(PATTERNS, st.integers(0, 3), st.integers(0, 3))
def test_made_up_expressions_allow_exactly_the_matches_of_a_permitted_length(
    expression: str, least: int, more: int
) -> None:
    most = min(least + more, 4)
    expected = [t for t in matches(expression, texts_up_to(most, "abé\n")) if len(t) >= least]
    found = language("abé\n", match=expression, min_length=least, length=most)
    assert found == expected


@pytest.mark.parametrize(
    "expression", ["(ab)*", "(aab|ba)*", "a{3}|b*", "(a|b{3})*a", "(a{3}|b{5})+", "[ab]{2,4}"]
)
def test_allowed_is_exact_for_every_range_of_lengths(expression: str) -> None:
    everything = matches(expression, texts_up_to(6, "ab"))
    for least, most in itertools.combinations_with_replacement(range(7), 2):
        expected = [text for text in everything if least <= len(text) <= most]
        assert language("ab", match=expression, min_length=least, length=most) == expected


@pytest.mark.parametrize(
    ("expression", "least", "most"),
    [
        ("(aaa|bbbbbbb)*", 1000, 1001),
        ("[ab]*a[ab]{300}", 0, 600),
        ("a?" * 100, 0, 50),
        ("[a-z]+( [a-z]+){2,4}\\.", 0, 40),
        ("(?:a?b?c?){900}", 20, 3000),
    ],
)
def test_random_walks_end_in_a_match_of_a_permitted_length(
    expression: str, least: int, most: int
) -> None:
    constraint, vocabulary = compile_for(
        "abcdez .", match=expression, min_length=least, length=most
    )
    for seed in range(3):
        text = walk(constraint, vocabulary, seed)
        assert least <= len(text) <= most
        assert re.fullmatch(expression, text)


def test_banned_characters_leave_only_the_ways_around_them() -> None:
    assert language("abcde", match="ab|cd|a?e", banned="b", length=9) == ["ae", "cd", "e"]


def test_special_ids_are_never_allowed() -> None:
    constraint, _ = compile_for("a<>padeos", match="<pad>|<eos>.*", lines=False)
    allowed_V = constraint.begin().allowed()
    assert allowed_V is not None
    assert not allowed_V[:2].any()


def test_a_stream_may_draw_anything_where_it_may_end_and_what_leads_off_ends_it() -> None:
    constraint, vocabulary = compile_for("abc", match="a+", lines=False)
    state = constraint.begin()
    allowed_V = state.allowed()
    assert allowed_V is not None
    assert [vocabulary.characters[id_] for id_ in np.flatnonzero(allowed_V)] == ["a"]
    assert state.take(2)
    assert state.allowed() is None
    assert not state.take(3)


def test_a_text_is_complete_when_it_can_neither_go_on_nor_be_longer() -> None:
    constraint, _ = compile_for("ab", match="ab|b*", length=3)
    assert not constraint.begin().is_complete
    assert follow(constraint, [4, 5]).is_complete
    assert not follow(constraint, [5, 5]).is_complete
    assert follow(constraint, [5, 5, 5]).is_complete


def test_texts_go_on_when_the_states_that_they_share_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expression = "[ab]*a[ab]{6}c?"
    expected, vocabulary = compile_for("abc", match=expression, length=40)
    monkeypatch.setattr(constraints, "MAX_STATES", 150)
    bounded, _ = compile_for("abc", match=expression, length=40)
    first = bounded.start
    for seed in range(10):
        assert walk(bounded, vocabulary, seed, end=0) == walk(expected, vocabulary, seed, end=0)
    assert bounded.start is not first


def test_a_text_that_needs_too_many_states_by_itself_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(constraints, "MAX_STATES", 50)
    constraint, vocabulary = compile_for("abc", match="[ab]*a[ab]{20}", length=1000)
    with pytest.raises(RunFailedError, match="`match` takes too much time or memory after"):
        walk(constraint, vocabulary, seed=1, end=0)


# --- What is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("ab(?=c)", "look-around, including look-ahead and look-behind, .* at character 3"),
        ("/\n/(?<!b)", "look-around, .* at character 4"),
        ("(a)\\1", "backreferences are not supported at character 4"),
        ("(?P<x>a)(?P=x)", "unrecognized flag at character 11"),
        ("a\\bb", "a word boundary"),
        ("a$b", "an anchor in the middle"),
        ("(?m)^a$", "an anchor in the middle"),
        ("(a(b", "unclosed group at character 3"),
        ("a)", "unopened group at character 2"),
        ("[a", "unclosed character class at character 1"),
        ("*a", "character 1"),
        ("a\\", "a lone backslash at character 2"),
        ("(?x) a # b\n c", "a line end in a verbose expression at character 11"),
        ("a{,2}", "character 3"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(expression: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        compile_for("ab", match=expression)
    assert caught.value.message.startswith("`match` ")
    assert "\n" not in caught.value.message
    assert "Rust" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "expression",
    ["(a{1000}){1000}", "((a{999}){999}){999}", "a{99999999999}", "a" * (1 << 21), "(" * 4000],
    ids=lambda expression: expression[:20],
)
def test_an_expression_that_would_blow_up_is_refused(expression: str) -> None:
    with pytest.raises(UserError):
        compile_for("abcx,", match=expression)


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("é", '"é"'),
        ("[0-9]+a", '"0", "9"'),
        ("[^\\s\\S]", "contradict"),
        ("\\d", "characters that"),
    ],
)
def test_an_expression_that_no_usable_text_matches_is_refused(expression: str, hint: str) -> None:
    with pytest.raises(UserError, match="no text at all can match") as caught:
        compile_for("ab", match=expression)
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("least", "most", "message", "hint"),
    [
        (7, 7, "has 7 to 7 characters", "a `min_length` of 6 is possible"),
        (0, 1, "has 0 to 1 characters", "the shortest match has 2 characters: raise `length`"),
    ],
)
def test_impossible_lengths_are_refused_with_what_is_possible(
    least: int, most: int, message: str, hint: str
) -> None:
    with pytest.raises(UserError) as caught:
        compile_for("ab", match="(ab)+", min_length=least, length=most)
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_a_finite_pattern_shorter_than_the_least_length_is_refused() -> None:
    with pytest.raises(UserError, match="5 or more") as caught:
        compile_for("a", match="a{1,3}", min_length=5)
    assert "a `min_length` of 3 is possible" in (caught.value.hint or "")


# --- Grammars -------------------------------------------------------------------------------------

BRACKETS = 'start: ( "a" | "(" start ")" | "[" start "]" )*'


def is_balanced(text: str) -> bool:
    """Recognise what BRACKETS describes: a stack of closing brackets."""
    expected: list[str] = []
    for char in text:
        if char in "([":
            expected.append(")" if char == "(" else "]")
        elif char != "a" and (not expected or expected.pop() != char):
            return False
    return not expected


def test_a_grammar_allows_what_its_recogniser_accepts() -> None:
    constraint, vocabulary = compile_for("a()[]", grammar=BRACKETS)
    for text in texts_up_to(5, "a()[]"):
        state = constraint.begin()
        ids = vocabulary.encode(text).tolist()
        accepted = all(state.take(id_) for id_ in ids)
        allowed_V = state.allowed()
        assert allowed_V is not None
        assert is_balanced(text) == (accepted and bool(allowed_V[3]))


def test_random_texts_of_a_grammar_are_recognised() -> None:
    constraint, vocabulary = compile_for("a()[]", grammar=BRACKETS, length=12)
    texts = set()
    for seed in range(60):
        with contextlib.suppress(RunFailedError):
            texts.add(walk(constraint, vocabulary, seed, end=0.5))
    assert all(map(is_balanced, texts))
    assert len(texts) > 5


def test_a_text_that_is_not_complete_at_its_greatest_length_is_an_error() -> None:
    constraint, _ = compile_for("ab()", grammar='start: "a" | "(" start ")"', length=2)
    state = constraint.begin()
    state.take(4)
    with pytest.raises(RunFailedError, match="not complete by `grammar` after `length` 2") as error:
        state.take(4)
    assert "`length`" in (error.value.hint or "")


@pytest.mark.parametrize(
    "grammar", ['start: "a" "é" "a"', 'start: "a" ("é" | "中")', "start: /aé+/"]
)
def test_a_grammar_that_needs_an_unknown_character_later_is_an_error(grammar: str) -> None:
    state = compile_for("ab", grammar=grammar)[0].begin()
    with pytest.raises(RunFailedError, match=r'no character .* goes on after "a" by'):
        state.take(4)


def test_a_grammar_that_ends_before_the_least_length_is_an_error() -> None:
    state = compile_for("ab", grammar='start: "a"', min_length=2)[0].begin()
    with pytest.raises(RunFailedError, match="ends after 1 characters, before `min_length`"):
        state.take(4)


def test_a_grammar_cannot_make_special_ids() -> None:
    with pytest.raises(UserError, match="no text can keep to `grammar`"):
        compile_for("ab", grammar='start: <eos> "a"')


@pytest.mark.parametrize(
    ("grammar", "words"),
    [
        ("start: x", 'at line 1, column 8: unknown name: "x"'),
        ('start: "a" b\nb: /[a/', "at line 2, column 4: .*unclosed character class"),
        ('start "a"', "at line 1, column 7"),
        ('x: "a"', "no start rule found"),
        ("", "no start rule found"),
    ],
)
def test_a_wrong_grammar_is_refused_with_its_place(grammar: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        compile_for("ab", grammar=grammar)
    assert caught.value.message.startswith("`grammar` is not understood")
    assert "\n" not in caught.value.message


# --- JSON schemas ---------------------------------------------------------------------------------

ASCII = "".join(map(chr, range(32, 127))) + "é\n"
SCHEMAS = [
    {"type": "integer", "minimum": 3, "maximum": 1200},
    {"type": "array", "items": {"enum": ["a", "é", None, 1.5]}, "minItems": 1, "maxItems": 3},
    {
        "type": "object",
        "properties": {
            "name": {"type": "string", "pattern": "^[A-Z][a-z]{1,8}$"},
            "age": {"type": "integer"},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2},
        },
        "required": ["name", "age"],
        "additionalProperties": False,
    },
    {"anyOf": [{"type": "boolean"}, {"type": "string", "minLength": 2, "maxLength": 4}]},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=range(len(SCHEMAS)))
def test_random_texts_conform_to_their_schema(schema: dict[str, Any]) -> None:
    constraint, vocabulary = compile_for(ASCII, json_schema=json.dumps(schema), length=2000)
    for seed in range(10):
        text = walk(constraint, vocabulary, seed, end=0.5)
        value = json.loads(text)
        jsonschema.validate(value, schema)
        assert "\n" not in text


def test_json_is_written_without_spaces() -> None:
    schema = '{"type": "array", "items": {"const": 1}, "minItems": 2, "maxItems": 2}'
    assert language("[]1, \n", json_schema=schema, length=99) == ["[1,1]"]


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("{", "is not JSON: .*line 1 column 2"),
        ("[1]", "no JSON object"),
        ('{"type": "foo"}', "Invalid type: foo"),
        ('{"not": {}}', "Unimplemented keys"),
        ('{"$ref": "http://x/y"}', "does not fetch"),
        ('{"type": "string", "pattern": "(?=a)"}', "look-around"),
        ('{"enum": ["é"]}', "no text can keep"),
    ],
)
def test_a_wrong_schema_is_refused(schema: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        compile_for("ab", json_schema=schema)
    assert "`json_schema`" in caught.value.message
    assert "\n" not in caught.value.message


def test_any_json_conforms_to_true() -> None:
    assert "1" in language("1", json_schema="true", length=2)


# --- Start-up -------------------------------------------------------------------------------------


def test_llguidance_is_imported_only_for_a_constraint() -> None:
    code = (
        "import sys, charrnn.generation.language_model, charrnn.generation.constraints\n"
        "assert 'llguidance' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
