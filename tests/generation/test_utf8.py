"""Text that is made byte by byte: valid UTF-8 at every moment, with every option."""

import math
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import charrnn
from charrnn.config.schema import DataConfig
from charrnn.errors import UserError
from charrnn.generation.options import GenerationOptions
from charrnn.generation.utf8 import Utf8
from charrnn.text.vocabulary import Vocabulary
from tests.models import write_corpus_run

VOCABULARY = Vocabulary.of_bytes(is_utf8=True, lines=False)
LINES = Vocabulary.of_bytes(is_utf8=True, lines=True)
TEXT = "Zoë trinkt Kaffee: 3 € 😀\nжук и море\n" * 40
CHARACTERS = st.characters(exclude_categories=["Cs"])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, charrnn.Model]:
    """Networks that learned nothing: every byte is about as likely as any other."""
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "text").write_text(TEXT, encoding="utf-8")
    (folder / "binary").write_bytes(bytes(range(256)) * 20)
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, source, mode in (
            ("stream", "text", "stream"),
            ("lines", "text", "lines"),
            ("binary", "binary", "stream"),
        ):
            data = DataConfig(source=source, unit="byte", mode=mode)  # type: ignore[arg-type]
            found[name] = charrnn.load(write_corpus_run(folder / "runs" / name, data, scale=0.4))
    return found


def bytes_after(begun: bytes, options: GenerationOptions) -> set[int]:
    mask_V = Utf8(VOCABULARY, options).following(begun)
    assert not mask_V[: len(VOCABULARY.specials)].any()
    return {int(id_) - len(VOCABULARY.specials) for id_ in np.flatnonzero(mask_V)}


def test_a_byte_may_follow_if_and_only_if_a_character_goes_on_with_it() -> None:
    utf8 = Utf8(VOCABULARY, GenerationOptions())
    codes = [*range(0x80, 0x800, 61), *range(0x800, 0xD800, 997), *range(0xE000, 0x110000, 9973)]
    borders = [0x7F, 0x800, 0xFFF, 0x1000, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x3FFFF, 0x10FFFF]
    spelled = [chr(code).encode() for code in codes + borders]
    for begun in {each[:size] for each in spelled for size in range(len(each))}:
        found = np.flatnonzero(utf8.following(begun)) - len(VOCABULARY.specials)
        assert set(found.tolist()) == {byte for byte in range(256) if decodes(begun, byte)}, begun


def decodes(begun: bytes, byte: int) -> bool:
    """Whether a character goes on with a byte, by Python's decoder and every kind of ending."""
    for ending in (b"", b"\x80", b"\x80\x80", b"\xa0\x80", b"\x80\x80\x80", b"\x90\x80\x80"):
        with suppress(UnicodeDecodeError):
            if len((begun + bytes([byte]) + ending).decode()) == 1:
                return True
    return False


@given(st.sets(CHARACTERS, min_size=1, max_size=8), st.sets(CHARACTERS, max_size=4))
def test_only_what_is_allowed_and_not_banned_can_be_spelled(allow: set[str], ban: set[str]) -> None:
    options = GenerationOptions(allow="".join(allow), ban="".join(ban))
    expected = {char.encode() for char in allow - ban}
    if not expected:
        with pytest.raises(UserError, match="leave no character"):
            bytes_after(b"", options)
        return
    for spelled in expected:
        for size in range(len(spelled)):
            after = {each[size] for each in expected if each[:size] == spelled[:size]}
            assert bytes_after(spelled[:size], options) == after


def test_a_beginning_all_of_whose_characters_are_banned_is_not_begun() -> None:
    cyrillic = "".join(map(chr, range(0x400, 0x440)))  # all that begins with 0xD0
    assert 0xD0 in bytes_after(b"", GenerationOptions(ban=cyrillic[1:]))
    assert 0xD0 not in bytes_after(b"", GenerationOptions(ban=cyrillic))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 3.0},
        {"temperature": 0.0},
        {"top_k": 2},
        {"top_p": 0.3},
        {"stop": ["é", "я"]},
        {"ban": "é€😀\n"},
        {"allow": "aé€😀\n"},
        {"match": "(?s:.){3,}x"},
        {"json_schema": '{"type": "string", "maxLength": 40}'},
    ],
)
@pytest.mark.parametrize("name", ["stream", "lines"])
def test_what_an_untrained_network_writes_is_whole_characters(
    models: dict[str, charrnn.Model], name: str, options: dict[str, Any]
) -> None:
    pieces = list(models[name].generate("Zoë", length=50, rng_seed=1, **options))
    assert all(piece.encode().decode() == piece for piece in pieces)  # no surrogates
    text = "".join(pieces)
    assert "\N{REPLACEMENT CHARACTER}" not in text
    assert len(text) <= 50
    assert not set(str(options.get("ban", ""))) & set(text)
    assert set(text) <= set(str(options.get("allow", text)))


@given(rng_seed=st.integers(0, 2**40), length=st.integers(1, 30))
def test_length_counts_characters_and_the_last_one_is_whole(
    models: dict[str, charrnn.Model], rng_seed: int, length: int
) -> None:
    (made,) = models["stream"].generate_many(
        ["ж"], length=length, rng_seed=rng_seed, log_probabilities=True
    )
    assert len(made.text) == length == len(made.log_probabilities or ())
    assert made.text == "".join(models["stream"].generate("ж", length=length, rng_seed=rng_seed))


def test_the_log_probability_of_a_character_is_that_of_its_bytes(
    models: dict[str, charrnn.Model],
) -> None:
    model = models["stream"]
    (made,) = model.generate_many(["\n"], length=20, rng_seed=5, log_probabilities=True)
    bits = model.surprisal("\n" + made.text)[1:]
    assert any(len(char.encode()) > 1 for char in made.text)
    for score, cost in zip(made.log_probabilities or (), bits, strict=True):
        assert cost is not None
        assert score == pytest.approx(-cost * math.log(2), rel=1e-4)


def test_texts_side_by_side_are_those_of_one_after_the_other(
    models: dict[str, charrnn.Model],
) -> None:
    many = models["lines"].generate_many(["", "ж"], samples=20, length=30, rng_seed=3)
    for made in many:
        assert made.text.encode().decode() == made.text
        assert made.ended_by in {"line", "length"}


def test_a_line_of_at_least_so_many_characters_is_not_ended_by_bytes(
    models: dict[str, charrnn.Model],
) -> None:
    for made in models["lines"].generate_many([""], samples=30, min_length=9, length=9, rng_seed=1):
        assert len(made.text) == 9


def test_the_likeliest_next_characters_are_those_of_all_spellings(
    models: dict[str, charrnn.Model],
) -> None:
    model = models["stream"]

    def probability(char: str) -> float:
        return 2 ** -float(model.surprisal("море" + char)[-1] or 0)

    found = model.next_characters("море", 400)
    two_bytes = [chr(code) for code in range(0x80, 0x800, 37)]
    assert [each.probability for each in found] == sorted(
        (each.probability for each in found), reverse=True
    )
    for each in [*found[:5], *found[-5:]]:
        assert each.probability == pytest.approx(probability(each.character), rel=1e-4)
    named = {each.character for each in found}
    least = found[-1].probability
    assert set(map(chr, range(0x80))) <= named
    for char in two_bytes:
        assert (char in named) == (probability(char) >= least * (1 - 1e-6))


def test_the_end_of_a_line_is_among_the_next_characters(models: dict[str, charrnn.Model]) -> None:
    assert "<eos>" in {each.character for each in models["lines"].next_characters("море", 300)}


def test_surrogates_are_no_characters_and_are_treated_as_unknown(
    models: dict[str, charrnn.Model],
) -> None:
    model = models["stream"]
    with pytest.raises(UserError, match="does not know"):
        model.generate("a\udcff")
    assert list(model.generate("a\udcff", length=3, unknown="skip", rng_seed=1)) == list(
        model.generate("a", length=3, rng_seed=1)
    )


def test_binary_data_is_written_as_bytes_of_any_value(models: dict[str, charrnn.Model]) -> None:
    text = "".join(models["binary"].generate("\xff\x00", length=3000, rng_seed=1))
    assert len(text.encode("latin-1")) == 3000
    with pytest.raises(UnicodeDecodeError):
        text.encode("latin-1").decode()
    with pytest.raises(UserError, match="does not know"):
        models["binary"].generate("€")


def test_the_score_of_a_text_counts_bytes(models: dict[str, charrnn.Model]) -> None:
    text = "Zoë 3 €\nжук"
    score = models["stream"].score(text)
    assert score.chars == len(text.encode()) - 1
    known = [bits for bits in models["stream"].surprisal(text) if bits is not None]
    assert sum(known) == pytest.approx(score.bits, rel=1e-5)
    assert models["stream"].logits(text).shape == (len(text.encode()), 258)
    lines = models["lines"].score(text)
    assert lines.chars == len(text.encode()) + 1  # the line end is an end, and so is the text's
    costs = models["lines"].surprisal(text + "\n")
    assert len(costs) == len(text) + 1
    assert sum(bits or 0 for bits in costs) == pytest.approx(lines.bits, rel=1e-5)
