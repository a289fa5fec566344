"""Text held to a regular expression: Python's `re` says what is right, `re.fullmatch` above all.

Small alphabets let every text up to some length be tried, so most claims are checked without gaps.
"""

import itertools
import random
import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.errors import UserError
from charrnn.generation.pattern import Pattern, countdown, subsets

SPECIALS = ("<pad>", "<unk>")


def compile_pattern(
    expression: str,
    alphabet: str,
    *,
    min_length: int = 0,
    max_length: int | None = None,
    banned: str = "",
) -> Pattern:
    characters = (*SPECIALS, *alphabet)
    usable = np.array([text not in SPECIALS and text not in banned for text in characters])
    return Pattern.compile(
        expression, characters, usable, min_length=min_length, max_length=max_length
    )


def ids_of(text: str, alphabet: str) -> list[int]:
    return [len(SPECIALS) + alphabet.index(character) for character in text]


def texts_up_to(length: int, alphabet: str) -> list[str]:
    return [
        "".join(text)
        for size in range(length + 1)
        for text in itertools.product(alphabet, repeat=size)
    ]


def texts_accepted(expression: str, alphabet: str, texts: list[str]) -> list[str]:
    """The texts that the automaton accepts; none if it finds that there cannot be any."""
    try:
        pattern = compile_pattern(expression, alphabet)
    except UserError as error:
        assert "no text at all" in error.message  # noqa: PT017 - others are not expected here
        return []
    return [t for t in texts if pattern.accepting(pattern.follow(ids_of(t, alphabet)))]


def texts_matched(expression: str, texts: list[str]) -> list[str]:
    matcher = re.compile(expression)
    return [text for text in texts if matcher.fullmatch(text)]


def a_random_walk(pattern: Pattern, alphabet: str, seed: int, longest: int) -> tuple[str, bool]:
    """Follow allowed ids at random; say what was written and whether it may end there."""
    choose = random.Random(seed)
    state, text = pattern.start, ""
    while len(text) < longest:
        choices = np.flatnonzero(pattern.allowed(state, len(text)))
        if not len(choices) or (pattern.may_end(state, len(text)) and choose.random() < 0.1):
            break
        chosen = int(choose.choice(choices))
        state = pattern.step(state, chosen)
        text += alphabet[chosen - len(SPECIALS)]
    return text, pattern.may_end(state, len(text))


# Over a, b, c, newline: what every construct means, alone and in company.
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
    "a{,2}",
    "a{2,}",
    "a{,}",
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
    "\\141\\n",
    "\\N{LATIN SMALL LETTER A}b",
    "(?i)A[B]c",
    "(?i:A)b|(?-i:c)",
    "(?i)a(?-i:B|b)C",
    "(?x) a b # c\n c",
    "(?x: a\\ ?b ) | c",
    "(?x) a # \\\n b\n c",
    "(?x) a + [ b]",
    "a(?#a comment)*b",
    "a(?#with \\) a bracket)c",
    "^a$",
    "^",
    "$",
    "a$",
    "a$\\n",
    "$\\n",
    "a$\\n$",
    "a\\Z",
    "\\Aa\\Z",
    "\\A\\n\\Z",
    "a\\Z\\n",
    "(^a|b)+",
    "(a|b$)+",
    "(?m)^a$",
    "(?m)(^a$\\n?)+",
    "(?m)a$(.|\\n)*",
    "(?m:^b)|a",
    "(?s).*$",
    "(?s)(^.)*",
    "(?sm)(^.)*",
    "\\b",
    "\\B",
    "\\ba\\b",
    "\\Ba",
    "(a\\b|\\n)*",
    "(\\ba|\\Bb|\\n)*",
    "(?s)(.\\B)*",
    "(?s)(.\\b)+",
    "\\b\\w+\\b(\\n\\b\\w+\\b)*",
    "(\\b|a)*",
    "a*+b",
    "a++b|c",
    "a?+b",
    "a{1,2}+b",
    "[ab]*+c",
    "(a*+b)*c",
    "a{",
    "a{}|a{x",
    "a|b{,",
    "\\{|a",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_text_is_accepted_just_when_re_matches_it_in_full(expression: str) -> None:
    texts = texts_up_to(5, "abc\n")
    assert texts_accepted(expression, "abc\n", texts) == texts_matched(expression, texts)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_random_walk_ends_in_a_match(expression: str) -> None:
    alphabet = "abcAB1 _{}x\n-"
    try:
        pattern = compile_pattern(expression, alphabet)
    except UserError as error:
        assert "no text at all" in error.message  # noqa: PT017 - others are not expected here
        return
    for seed in range(20):
        text, may_end = a_random_walk(pattern, alphabet, seed, longest=30)
        assert not may_end or re.fullmatch(expression, text)
        assert may_end or len(text) == 30


SINGLE_CHARACTERS = [
    "\\d",
    "\\D",
    "\\w",
    "\\W",
    "\\s",
    "\\S",
    ".",
    "(?s).",
    "(?a)\\w",
    "(?a)\\W",
    "(?a:\\d)|\\s",
    "(?a)(?u:\\w)",
    "(?a)\\s",
    "(?i)k",
    "(?i)K",
    "(?i)s",
    "(?i)[s-t]",
    "(?i)[^k]",
    "(?i)ß",
    "(?i)\u0131|i",
    "(?i)\u0130",
    "(?ai)k",
    "(?ai)[^k]",
    "(?i)σ",
    "(?i)[à-ý]",
    "(?i)[^\\W_]",
    "[\\d\\s]",
    "[^\\d\\s]",
    "[^\\D]",
    "\\N{GREEK SMALL LETTER SIGMA}",
    "[\u4e00-\u9fff]",
    "\U0001f600",
]
UNICODE = (
    "aAkK\u212asS\u017fßẞiI\u0131\u0130éÉµμσςΣ12²٣५_-. \n\r\t\x0b\x1c\x85\u00a0\u2028中\U0001f600"
)


@pytest.mark.parametrize("expression", SINGLE_CHARACTERS)
def test_a_class_holds_the_very_characters_that_re_finds_in_it(expression: str) -> None:
    texts = list(UNICODE)
    assert texts_accepted(expression, UNICODE, texts) == texts_matched(expression, texts)


@pytest.mark.parametrize(
    "expression", ["(?:.\\b)+", "(?s:.\\B)*é?", "(?as).\\b.", "(?as)\\B.\\B.*"]
)
def test_word_boundaries_follow_unicode_unless_told_otherwise(expression: str) -> None:
    texts = texts_up_to(3, "aé1-\n中_")
    assert texts_accepted(expression, "aé1-\n中_", texts) == texts_matched(expression, texts)


CLASSES = (
    "a",
    "b",
    "A",
    "\\n",
    "-",
    ".",
    "[ab]",
    "[^a]",
    "\\w",
    "\\W",
    "\\s",
    "(?i:B)",
    "(?s:.)",
    "",
)
ANCHORS = ("^", "$", "\\A", "\\Z", "\\b", "\\B", "(?m:^)", "(?m:$)", "(?a:\\b)")
ATOMS = st.sampled_from(CLASSES + ANCHORS)
SUFFIXES = st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{,2}", "{2,}", "*?", "+?", "??"])


def larger(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(parts, parts).map("".join),
        st.tuples(parts, parts).map("(?:{0[0]}|{0[1]})".format),
        st.tuples(st.sampled_from(["", "?:", "?m:", "?i:", "?s:"]), parts).map(
            "({0[0]}{0[1]})".format
        ),
        st.tuples(parts, SUFFIXES).map("(?:{0[0]}){0[1]}".format),
    )


def is_quick_for_re(expression: str) -> bool:
    """Whether `re` will not try exponentially many ways: few repeats, and not too deep."""
    return len(re.findall(r"[*+?}](?!:)", expression)) <= 6


PATTERNS = (
    st.tuples(
        st.sampled_from(["", "", "(?m)", "(?s)", "(?i)", "(?ms)", "(?a)"]),
        st.recursive(ATOMS, larger, max_leaves=6),
    )
    .map("".join)
    .filter(is_quick_for_re)
)
ALL_TEXTS = texts_up_to(4, "ab\n-")


@settings(max_examples=600, deadline=None)
@given(PATTERNS)
def test_made_up_expressions_accept_what_re_matches(expression: str) -> None:
    matched = texts_matched(expression, ALL_TEXTS)
    assert texts_accepted(expression, "ab\n-", ALL_TEXTS) == matched


@settings(max_examples=300, deadline=None)
@given(PATTERNS, st.integers(0, 4), st.integers(0, 4), st.integers(0, 1000))
def test_made_up_expressions_are_walked_to_matches_of_a_permitted_length(
    expression: str, least: int, more: int, seed: int
) -> None:
    try:
        pattern = compile_pattern(expression, "ab\n-", min_length=least, max_length=least + more)
    except UserError:
        return
    text, may_end = a_random_walk(pattern, "ab\n-", seed, longest=100)
    assert may_end
    assert least <= len(text) <= least + more
    assert re.fullmatch(expression, text)


# Which lengths are possible is not plain to see in these.
LENGTH_EXPRESSIONS = [
    "(ab)*",
    "(aab|ba)*",
    "a{3}|b*",
    "a|ab{4}",
    "(aaa)*(bb)?",
    "(a|b{3})*a",
    "a(bb)*|(aaa)+",
    "(a{3}|b{5})+",
    "[ab]{2,4}",
    "(?s).*b",
    "a*$\\n?",
    "(?m)(^a+$\\n?)*",
    "(a\\b\\n|bb)*",
]


def next_characters(prefix: str, matches: list[str]) -> set[str]:
    """The characters with which the matches that begin with `prefix` go on."""
    longer = (match for match in matches if match.startswith(prefix) and match != prefix)
    return {match[len(prefix)] for match in longer}


@pytest.mark.parametrize("expression", LENGTH_EXPRESSIONS)
def test_allowed_is_exact_for_every_prefix_and_range_of_lengths(expression: str) -> None:
    alphabet = "ab\n" if "\\n" in expression else "ab"
    longest = 6 if len(alphabet) == 3 else 8
    matches = texts_matched(expression, texts_up_to(longest, alphabet))
    for least, most in itertools.combinations_with_replacement(range(longest + 1), 2):
        fitting = [match for match in matches if least <= len(match) <= most]
        try:
            pattern = compile_pattern(expression, alphabet, min_length=least, max_length=most)
        except UserError:
            assert not fitting
            continue
        assert fitting
        for prefix in {match[:size] for match in fitting for size in range(len(match) + 1)}:
            state = pattern.follow(ids_of(prefix, alphabet))
            allowed = pattern.allowed(state, len(prefix))
            expected = next_characters(prefix, fitting)
            assert set(np.flatnonzero(allowed)) == set(ids_of("".join(expected), alphabet))
            assert pattern.may_end(state, len(prefix)) == (prefix in fitting)
            assert pattern.must_end(state, len(prefix)) == (not expected)


@pytest.mark.parametrize("least", range(12))
def test_a_least_length_without_a_limit_keeps_only_what_can_grow_long_enough(least: int) -> None:
    pattern = compile_pattern("a{3}|b{5}|(ab)*c?", "abc", min_length=least)
    allowed = pattern.allowed(pattern.start, 0)
    assert set(np.flatnonzero(allowed)) == set(
        ids_of(("a" + "b" * (least <= 5) + "c" * (least <= 1)), "abc")
    )


def test_a_long_least_length_is_met_by_a_pattern_whose_lengths_come_in_a_rhythm() -> None:
    pattern = compile_pattern("(aaa|bbbbbbb)*", "ab", min_length=10_000, max_length=10_001)
    text, may_end = a_random_walk(pattern, "ab", seed=1, longest=20_000)
    assert may_end
    assert len(text) in (10_000, 10_001)
    assert re.fullmatch("(aaa|bbbbbbb)*", text)


def test_shortest_counts_the_characters_that_are_still_needed() -> None:
    pattern = compile_pattern("a{3}|b", "ab")
    assert pattern.shortest(pattern.start) == 1
    assert pattern.shortest(pattern.follow(ids_of("a", "ab"))) == 2
    assert pattern.shortest(pattern.follow(ids_of("b", "ab"))) == 0
    assert pattern.shortest(pattern.follow(ids_of("bb", "ab"))) is None


def test_a_step_off_the_pattern_leads_to_a_state_that_matches_nothing() -> None:
    pattern = compile_pattern("a+", "ab")
    lost = pattern.follow(ids_of("ba", "ab"))
    assert not pattern.accepting(lost)
    assert not pattern.allowed(lost, 2).any()
    assert not pattern.accepting(pattern.step(pattern.start, 0))


def test_masks_cannot_be_changed_by_who_gets_them() -> None:
    pattern = compile_pattern("a+", "ab")
    with pytest.raises(ValueError, match="read-only"):
        pattern.allowed(pattern.start, 0)[0] = True


def test_special_ids_are_never_allowed_even_if_called_usable() -> None:
    pattern = Pattern.compile(".*", ("<pad>", "a"), np.array([True, True]))
    assert pattern.allowed(pattern.start, 0).tolist() == [False, True]


def test_banned_characters_leave_only_the_ways_around_them() -> None:
    pattern = compile_pattern("ab|cd|a?e", "abcde", banned="b")
    assert set(np.flatnonzero(pattern.allowed(pattern.start, 0))) == set(ids_of("ace", "abcde"))
    after_a = pattern.follow(ids_of("a", "abcde"))
    assert set(np.flatnonzero(pattern.allowed(after_a, 1))) == set(ids_of("e", "abcde"))


def test_forgetting_what_was_kept_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    expression, alphabet = "[ab]*a[ab]{6}c?", "abc"
    kept = compile_pattern(expression, alphabet)
    monkeypatch.setattr(subsets, "MAX_KEPT", 40)
    forgetful = compile_pattern(expression, alphabet)
    for seed in range(10):
        walk = a_random_walk(kept, alphabet, seed, longest=60)
        assert walk == a_random_walk(forgetful, alphabet, seed, longest=60)


def test_exponentially_many_states_do_not_stand_in_the_way() -> None:
    expression = "[ab]*a[ab]{300}"
    pattern = compile_pattern(expression, "ab", min_length=500, max_length=600)
    text, may_end = a_random_walk(pattern, "ab", seed=3, longest=1000)
    assert may_end
    assert re.fullmatch(expression, text)


IRREGULAR = [
    ("ab(?=c)", "a lookahead, (?=, at character 3"),
    ("a(?!b)", "a negative lookahead, (?!, at character 2"),
    ("[(?=]x(?<=b)", "a lookbehind, (?<=, at character 7"),
    ("\\((?<!b)", "a negative lookbehind, (?<!, at character 3"),
    ("(a)\\1", "a backreference, \\1, at character 4"),
    ("(?P<x>a)(?P=x)", "a backreference, (?P=, at character 9"),
    ("(a)?(?(1)b|c)", "a condition on a group, (?(, at character 5"),
    ("(?#(?=)(?>a)", "an atomic group, (?>, at character 8"),
    ("(?x) # (?=\n (?!a)", "a negative lookahead, (?!, at character 13"),
]


@pytest.mark.parametrize(("expression", "words"), IRREGULAR)
def test_what_is_not_regular_is_refused_by_name_and_place(expression: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        compile_pattern(expression, "abc")
    assert words in caught.value.message
    assert "understands everything regular" in caught.value.hint


@pytest.mark.parametrize("expression", ["a*+a", "a?+[ab]", "(a{1,2}+)*", "(?:ab)*+b", "(a++|b)*"])
def test_a_possessive_repeat_that_may_match_less_is_refused(expression: str) -> None:
    with pytest.raises(UserError, match="possessive repeat at character"):
        compile_pattern(expression, "ab")


@pytest.mark.parametrize(
    ("expression", "place"), [("a(b", 2), ("a)", 2), ("[a", 1), ("a**", 3), ("*a", 1), ("a\\", 2)]
)
def test_an_invalid_expression_is_refused_with_its_place(expression: str, place: int) -> None:
    with pytest.raises(UserError, match=f"at character {place} "):
        compile_pattern(expression, "ab")


TOO_LARGE = [
    "a{1,100000}",
    "(x{1000}){1000}",
    "((x{999}){999}){999}",
    "(?:){1000000}",
    "a{99999999999}",
    "(?:a?b?c?){900}",
    "(?:.*,){,2000}(?:a?b?c?){2000}",
    "a?" * 4000,
    "a{0,9000}" + "(?:(?:)|(?:)){2000}",
    "(" * 101 + ")" * 101,
    "(" * 4000 + ")" * 4000,
    "a" * 10_001,
]


@pytest.mark.parametrize("expression", TOO_LARGE, ids=lambda expression: expression[:20])
def test_an_expression_that_would_blow_up_is_refused(expression: str) -> None:
    with pytest.raises(UserError) as caught:
        compile_pattern(expression, "abcx,")
    assert caught.value.hint


@pytest.mark.parametrize("expression", ["(?:" * 100 + "a" + ")" * 100, "(?:a?){9000}", "a{0,9000}"])
def test_a_large_expression_within_the_limits_works(expression: str) -> None:
    pattern = compile_pattern(expression, "a")
    assert pattern.accepting(pattern.follow(ids_of("a", "a")))


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("é", '"é"'),
        ("a|é", None),
        ("[0-9]+a", r'"\[0-9\]"'),
        ("a$b", "contradict"),
        ("a\\bb", "con"),
    ],
)
def test_an_expression_that_no_usable_text_matches_is_refused(
    expression: str, hint: str | None
) -> None:
    if hint is None:
        compile_pattern(expression, "ab")
        return
    with pytest.raises(UserError, match="no text at all can match") as caught:
        compile_pattern(expression, "ab")
    assert re.search(hint, caught.value.hint)


@pytest.mark.parametrize(
    ("least", "most", "message", "hint"),
    [
        (7, 7, "exactly 7 characters", "a --min-length of 6 is possible"),
        (9, 4, "between 9 and 4", "a --min-length of"),
        (0, 1, "at most 1 characters", "the shortest match has 2 characters: raise --length"),
    ],
)
def test_impossible_lengths_are_refused_with_what_is_possible(
    least: int, most: int, message: str, hint: str
) -> None:
    with pytest.raises(UserError) as caught:
        compile_pattern("(ab)+", "ab", min_length=least, max_length=most)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_finite_pattern_shorter_than_the_least_length_is_refused() -> None:
    with pytest.raises(UserError, match="5 or more") as caught:
        compile_pattern("a{1,3}", "a", min_length=5)
    assert "a --min-length of 3 is possible" in caught.value.hint


@pytest.mark.parametrize("limit", ["MAX_VISITS", "MAX_BYTES"])
def test_lengths_that_take_too_long_to_work_out_are_refused(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(countdown, limit, 500)
    with pytest.raises(UserError, match="too much time or memory"):
        compile_pattern("(a{7}|b{11})*", "ab", min_length=1_000_001, max_length=1_000_001)


def test_what_re_warns_of_is_not_shown() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compile_pattern("[[]a", "a[")
