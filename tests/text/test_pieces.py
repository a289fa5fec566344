"""Lines and pieces do not depend on where the text was cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.text.code_points import text_of
from charrnn.text.pieces import Mode, Piece, pieces_of
from tests.text.reference import lines_of

# Texts in which line ends of every kind are frequent, in parts of any length.
PARTS = st.lists(st.text(st.sampled_from("ab\u20ac\r\n\n\x0b\x85\u2028"), max_size=6), max_size=8)
MODES: list[Mode] = ["stream", "lines"]


def lines_in(pieces: list[Piece]) -> list[str]:
    """The lines, put together from the ends that the pieces tell."""
    lines, open_line = [], ""
    for piece in pieces:
        text, start = text_of(piece.points), 0
        for end in [] if piece.ends is None else piece.ends.tolist():
            lines.append(open_line + text[start:end])
            open_line, start = "", end
        open_line += text[start:]
    assert open_line == ""
    return lines


@given(PARTS)
def test_lines_are_those_of_the_whole_text(parts: list[str]) -> None:
    assert lines_in(list(pieces_of(parts, "lines"))) == lines_of("".join(parts))


@given(PARTS)
def test_empty_lines_are_counted(parts: list[str]) -> None:
    text = "".join(parts)
    lines = text.split("\n")
    lines = lines if lines[-1] else lines[:-1]  # nothing after the last line end is no line
    empty = sum(line in {"", "\r"} for line in lines)
    assert sum(piece.empty_lines for piece in pieces_of(parts, "lines")) == empty


@given(PARTS)
def test_stream_pieces_hold_the_text_and_nothing_else(parts: list[str]) -> None:
    assert "".join(text_of(piece.points) for piece in pieces_of(parts, "stream")) == "".join(parts)


@pytest.mark.parametrize("mode", MODES)
@given(parts=PARTS, data=st.data())
def test_a_piece_cut_in_two_holds_what_it_held(
    mode: Mode, parts: list[str], data: st.DataObject
) -> None:
    for piece in pieces_of(parts, mode):
        units = data.draw(st.integers(0, piece.units))
        first, second = piece.cut_after(units)
        assert (first.units, second.units) == (units, piece.units - units)
        assert [*first.points, *second.points] == list(piece.points)
        if mode == "lines":
            assert first.ends is not None
            assert len(first.points) == (first.ends[-1] if units else 0)


@given(PARTS)
def test_every_character_knows_how_many_lines_end_before_it(parts: list[str]) -> None:
    for piece in pieces_of(parts, "lines"):
        assert piece.ends is not None
        places = np.arange(len(piece.points))
        expected = [sum(end <= place for end in piece.ends) for place in places]
        assert piece.units_before(places).tolist() == expected


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\r"])
def test_only_a_newline_ends_a_line(separator: str) -> None:
    text = f"a{separator}b\nc"
    assert lines_in(list(pieces_of([text], "lines"))) == [f"a{separator}b", "c"]
