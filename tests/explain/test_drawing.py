"""Pictures as text, SVG and HTML: whole, harmless, and the same wherever they are drawn."""

import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from rich.cells import cell_len

from charrnn.explain.page import page_of
from charrnn.explain.picture import (
    Bars,
    Chart,
    ColouredText,
    Picture,
    Series,
    Table,
    pieces_of,
    visible,
)
from charrnn.explain.terminal import drawn
from charrnn.explain.views import VIEWS
from tests.explain.runs import lines_run, numbers, stream_run

HOSTILE = "</script><script>alert(1)</script>\x1b[31m\u202e\"'&<b>$x$\\ é 日本 क्षि\x00"
HOSTILE_PICTURE = Picture(
    title=HOSTILE,
    sentences=[HOSTILE],
    equations=HOSTILE,
    text=ColouredText(
        title=HOSTILE,
        characters=list(HOSTILE * 3),
        channels={HOSTILE: [0.5] * len(HOSTILE * 3), "other": [-1.0] * len(HOSTILE * 3)},
        likeliest=[[(char, 0.5)] for char in HOSTILE * 3],
    ),
    charts=[
        Bars(title=HOSTILE, names=[HOSTILE, "b"], values=[1, 2], highlighted="b"),
        Chart(
            title=HOSTILE,
            x_label=HOSTILE,
            y_label=HOSTILE,
            series=[
                Series(name=HOSTILE, x=[0.1, 0.5], y=[0.2, 0.3], low=[0.1, 0.1], high=[0.4, 0.4]),
                Series(name="$", x=[0.1], y=[0.5], style="points", labels=[HOSTILE]),
                Series(name=HOSTILE, x=(1,), y=(0.7,), style="level"),
            ],
        ),
    ],
    tables=[Table(HOSTILE, [HOSTILE, "b"], [[HOSTILE, HOSTILE]])],
)


MIXED_CHARACTERS = "a\u200b\xad می\u200cر\xa0e\u0301\n\u0301\x1b\U000e0001"
MIXED = ColouredText(
    title="mixed",
    characters=list(MIXED_CHARACTERS),
    channels={"one": [0.5] * len(MIXED_CHARACTERS)},
)
PIECES = [
    *("a", r"\u200b", r"\xad", " ", "م", "ی\u200c", "ر", "\xa0", "e\u0301", "⏎"),
    *("◌\u0301", r"\x1b", r"\U000e0001"),
]


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def pictures(tmp_path: Path) -> Iterator[tuple[str, Picture]]:
    """Every view of a two-layer stream run and of a lines run."""
    for model in (stream_run(tmp_path, layers=2), lines_run(tmp_path, cell="gru")):
        for view, module in VIEWS.items():
            text = "The e" if view == "step" else None
            yield view, module.picture(numbers(view, model, text=text))


def test_every_picture_fits_into_sixty_columns(tmp_path: Path) -> None:
    for view, picture in pictures(tmp_path):
        for colours in (None, "truecolor"):
            text = drawn(picture, width=60, colours=colours)
            plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
            assert max(map(cell_len, plain.split("\n"))) <= 60, view
            assert ("\x1b" in text) == (colours is not None)


def test_what_cannot_be_seen_is_escaped_and_joiners_stay_with_their_letter() -> None:
    assert [shown for shown, _ in pieces_of(MIXED)] == PIECES
    assert visible("\xa0") == r"\xa0"


def test_nothing_hostile_reaches_a_terminal() -> None:
    text = drawn(HOSTILE_PICTURE, width=80, colours=None)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", text)
    assert r"\x1b[31m" in text


class Elements(HTMLParser):
    """Counts the elements of a page and collects what could load something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        named = dict(attrs)
        self.links += [named[each] or "" for each in ("src", "href", "xlink:href") if each in named]
        assert not any(name.startswith("on") for name in named)


def test_nothing_hostile_becomes_a_part_of_a_page() -> None:
    pytest.importorskip("matplotlib")
    page = page_of({"one": HOSTILE_PICTURE, "two": HOSTILE_PICTURE}, HOSTILE)
    found = Elements()
    found.feed(page)
    assert found.tags["script"] == 3  # the data of two texts, and page.js
    assert "b" not in found.tags
    assert all(link.startswith("#") for link in found.links)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", page)


def test_plots_are_well_formed_the_same_twice_and_load_nothing() -> None:
    pytest.importorskip("matplotlib")
    from charrnn.explain.plots import chart_as_svg, plotted

    for chart in HOSTILE_PICTURE.charts:
        svg = chart_as_svg(chart)
        assert svg == chart_as_svg(chart)
        for element in ET.fromstring(svg).iter():
            links = [value for name, value in element.attrib.items() if name.endswith("href")]
            assert all(link.startswith("#") for link in links)
    assert plotted(HOSTILE_PICTURE, "png").startswith(b"\x89PNG")


# --- In a browser --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium on the path")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        running.close()


def open_page(browser: Any, file: Path) -> tuple[Any, list[str]]:
    """Open a file; the page, and everything that it asked for or complained of."""
    page, heard = browser.new_page(), []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("request", lambda request: heard.append(request.url))
    page.goto(file.as_uri())
    heard.remove(file.as_uri())
    return page, heard


def test_hovering_shows_the_numbers_that_json_prints(tmp_path: Path, browser: Any) -> None:
    found = json.loads(json.dumps(numbers("surprisal", stream_run(tmp_path))))
    file = tmp_path / "page.html"
    file.write_text(page_of({"surprisal": VIEWS["surprisal"].picture(found)}, "title"))
    page, heard = open_page(browser, file)
    for at in (1, 7, 40):
        page.hover(f".characters span:nth-child({at + 1})")
        said = page.inner_text("#tip").split("\n")
        assert f"{found['bits'][at]:.2f} bits" in said[0]
        shares = [f"{100 * share:.1f} %" for _, share in found["likeliest"][at]]
        assert [line.split("  ")[1] for line in said[1:]] == shares
    assert heard == []


def test_a_page_cuts_a_text_as_a_terminal_does(tmp_path: Path, browser: Any) -> None:
    (tmp_path / "page.html").write_text(page_of({"x": Picture(title="x", text=MIXED)}, "x"))
    page, heard = open_page(browser, tmp_path / "page.html")
    spans = page.locator(".characters span").all_text_contents()
    assert [span.removesuffix("\n") for span in spans] == PIECES
    assert heard == []


def test_another_unit_can_be_picked(tmp_path: Path, browser: Any) -> None:
    found = numbers("units", stream_run(tmp_path), all_units=True)
    file = tmp_path / "page.html"
    file.write_text(page_of({"units": VIEWS["units"].picture(found)}, "title"))
    page, heard = open_page(browser, file)
    chosen, second = list(found["activations"])[:2]
    for number, unit in enumerate((chosen, second)):
        page.select_option("select", str(number))
        page.hover(".characters span:nth-child(3)")
        shown = float(page.inner_text("#tip").split("  ")[1])
        assert shown == pytest.approx(found["activations"][unit][2], abs=0.01)
    assert heard == []


def test_a_hostile_page_does_nothing_in_a_browser(tmp_path: Path, browser: Any) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / "page.html"
    file.write_text(page_of({"one": HOSTILE_PICTURE}, HOSTILE))
    page, heard = open_page(browser, file)
    assert page.locator(".characters span").count() > 50
    page.keyboard.press("Tab")
    page.focus(".characters")
    page.keyboard.press("ArrowRight")
    assert not page.locator("#tip").is_hidden()
    assert heard == []


def test_in_the_dark_nothing_lies_in_a_white_box(tmp_path: Path, browser: Any) -> None:
    model = stream_run(tmp_path)
    views = {view: VIEWS[view].picture(numbers(view, model)) for view in ("surprisal", "gates")}
    (tmp_path / "page.html").write_text(page_of(views, "dark"), encoding="utf-8")
    page = browser.new_context(color_scheme="dark").new_page()
    page.goto((tmp_path / "page.html").as_uri())
    backgrounds = page.evaluate(
        "Array.from(document.querySelectorAll('*'), (e) => getComputedStyle(e).backgroundColor)"
    )
    assert "rgb(22, 24, 28)" in backgrounds
    assert "rgb(255, 255, 255)" not in backgrounds
    assert "#ffffff" not in page.evaluate("document.querySelector('figure svg').outerHTML")
