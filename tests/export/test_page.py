"""The exported page in a real browser: its numbers, its text, its manners."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from charrnn.export.html import html_page
from tests.export.cases import KINDS, SEEDS, TEXT, Case, jobs, make_case

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


HEATS = """Array.from(
    document.querySelectorAll("#marks span"), (mark) => +mark.style.getPropertyValue("--heat"))"""
TWO_FRAMES = "() => new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))"
UNNAMED = """Array.from(document.querySelectorAll("input, textarea, button"))
    .filter((field) => !field.labels?.length && !field.textContent.trim())
    .map((field) => field.id)"""
REACHED = {"write", "by-surprisal", "temperature", "top-p", "top-k", "length", "rng-seed"}


def numbers(values: list[float | None]) -> npt.NDArray[np.float64]:
    """A list with None as an array with NaN."""
    return np.array([np.nan if each is None else each for each in values])


class Opened:
    """A page in the browser, and all that it asked for and complained of."""

    def __init__(self, browser: Any, file: Path, **context: Any) -> None:
        self.page = browser.new_context(**context).new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(file.as_uri())
        self.call("charrnn.ready")

    def call(self, code: str, argument: Any = None) -> Any:
        return self.page.evaluate(code, argument)

    def wait_until(self, code: str) -> None:
        """The page's policy forbids what Playwright's own waiting does."""
        for _ in range(600):
            if self.call(code):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(code)

    def write_on(self) -> str:
        self.page.click("#write")
        self.wait_until("document.querySelector('#write').textContent === 'Write on'")
        written: str = self.page.input_value("#text")
        return written


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def saved(case: Case, folder: Path) -> Path:
    file = folder / "page.html"
    file.write_text(case.page, encoding="utf-8")
    return file


@pytest.fixture
def stream(tmp_path: Path) -> Case:
    return make_case(tmp_path / "run", cell="gru")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def test_the_page_computes_what_numpy_computes(
    kind: dict[str, Any], browser: Any, tmp_path: Path
) -> None:
    case = make_case(tmp_path / "run", **kind)
    opened = Opened(browser, saved(case, tmp_path))
    logits = np.array(opened.call("text => charrnn.logits(text)", TEXT))
    np.testing.assert_allclose(logits, case.logits(TEXT), rtol=0, atol=1e-4)
    bits = numbers(opened.call("text => charrnn.surprisal(text)", TEXT))
    np.testing.assert_allclose(bits, numbers(case.model.surprisal(TEXT)), rtol=0, atol=1e-4)
    for seed, options, text in jobs(case):
        code = "([seed, options]) => charrnn.generate(seed, options)"
        assert opened.call(code, [seed, options]) == text
    assert opened.requests == [(tmp_path / "page.html").as_uri()]
    assert opened.complaints == []


def test_bfloat16_weights_are_computed_with_as_they_are_stored(
    browser: Any, tmp_path: Path
) -> None:
    case = make_case(tmp_path / "run", precision="bfloat16", cell="lstm")
    opened = Opened(browser, saved(case, tmp_path))
    logits = np.array(opened.call("text => charrnn.logits(text)", TEXT))
    np.testing.assert_allclose(logits, case.logits(TEXT, "bfloat16"), rtol=0, atol=1e-4)
    assert np.abs(logits - case.logits(TEXT)).max() > 1e-4


@pytest.mark.parametrize("seed", SEEDS)
def test_the_button_writes_what_the_command_line_writes(
    seed: str, stream: Case, browser: Any, tmp_path: Path
) -> None:
    opened = Opened(browser, saved(stream, tmp_path))
    opened.page.fill("#text", seed)
    opened.page.fill("#rng-seed", "17")
    opened.page.fill("#length", "250")
    first = opened.write_on()
    assert len(first) == len(seed) + 250
    assert opened.write_on() == seed + stream.text(seed, {}, 17)
    opened.page.click("#back")
    assert opened.page.input_value("#text") == first
    assert opened.complaints == []


def test_a_line_ends_by_itself_and_the_next_is_the_next_sample(
    browser: Any, tmp_path: Path
) -> None:
    case = make_case(tmp_path / "run", lines=True, weights_seed=3)
    opened = Opened(browser, saved(case, tmp_path))
    opened.page.fill("#rng-seed", "4")
    texts = [each.text for each in case.model.generate_many([""], samples=3, rng_seed=4)]
    for count in (1, 2, 3):
        assert opened.write_on() == "".join(f"{text}\n" for text in texts[:count])


def test_a_text_is_coloured_while_it_is_typed(stream: Case, browser: Any, tmp_path: Path) -> None:
    opened = Opened(browser, saved(stream, tmp_path))
    opened.page.type("#text", "the dog")
    opened.wait_until("document.querySelectorAll('#marks span').length === 7")
    bits = np.nan_to_num(numbers(stream.model.surprisal("the dog")))
    np.testing.assert_allclose(opened.call(HEATS), np.minimum(1, bits / 8), rtol=0, atol=2e-3)
    opened.page.click("label[for=by-unit]")
    opened.page.fill("#unit", "5")
    opened.wait_until("document.querySelector('#unit-name').textContent === '6'")
    opened.page.evaluate(TWO_FRAMES)  # colours follow in the next one
    activations = np.abs(stream.model.states("the dog")[:, 0, 0, 5])
    np.testing.assert_allclose(opened.call(HEATS), activations, rtol=0, atol=0.01)


def test_the_keyboard_alone_is_enough(stream: Case, browser: Any, tmp_path: Path) -> None:
    opened = Opened(browser, saved(stream, tmp_path))
    opened.page.keyboard.press("Tab")
    assert opened.call("document.activeElement.id") == "text"
    opened.page.keyboard.type("the ")
    opened.page.keyboard.press("Control+Enter")
    opened.wait_until("document.querySelector('#text').value.length > 20")
    opened.page.keyboard.press("Escape")
    opened.wait_until("document.querySelector('#write').textContent === 'Write on'")
    opened.page.keyboard.press("Control+Home")
    opened.wait_until("document.querySelector('#place').textContent.includes('“t”')")
    reached = set()
    for _ in range(14):
        opened.page.keyboard.press("Tab")
        reached.add(opened.call("document.activeElement.id"))
    assert reached >= REACHED


def test_hovering_shows_the_likeliest_characters(
    stream: Case, browser: Any, tmp_path: Path
) -> None:
    opened = Opened(browser, saved(stream, tmp_path))
    opened.page.fill("#text", "abc")
    opened.wait_until("document.querySelectorAll('#marks span').length === 3")
    box = opened.page.query_selector("#marks span:nth-child(3)").bounding_box()
    opened.page.mouse.move(box["x"] + 2, box["y"] + 4)
    assert opened.page.inner_text("#place").startswith("“c” stands here")
    logits_V = stream.logits("ab")[-1][2:]
    order = np.argsort(-logits_V, kind="stable")[:3]
    shown = opened.page.locator("#expected .char").all_inner_texts()[:3]
    words = {"\n": "new line", " ": "space"}
    assert shown == [words.get(c, c) for c in np.array(stream.model.vocabulary.known)[order]]


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_screen(
    width: int, colours: str, stream: Case, browser: Any, tmp_path: Path
) -> None:
    opened = Opened(
        browser,
        saved(stream, tmp_path),
        viewport={"width": width, "height": 800},
        color_scheme=colours,
    )
    opened.page.fill("#text", "the dog " * 100)
    assert opened.call("document.documentElement.scrollWidth") <= width
    background = opened.call("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(23, 22, 20)") == (colours == "dark")


def test_what_the_text_area_holds_and_what_is_coloured_lie_on_each_other(
    stream: Case, browser: Any, tmp_path: Path
) -> None:
    opened = Opened(browser, saved(stream, tmp_path), viewport={"width": 420, "height": 800})
    opened.page.fill("#text", "the lazy dog\n\njumps over " * 30 + "\n")
    opened.wait_until("document.querySelectorAll('#marks span').length > 700")
    heights = opened.call("['text', 'marks'].map(id => document.getElementById(id).scrollHeight)")
    assert heights[0] == heights[1]


def test_hostile_names_and_characters_are_text(browser: Any, tmp_path: Path) -> None:
    hostile = "</script><img src=x onerror=alert(1)>&\"'`${}<!--"
    case = make_case(tmp_path / "run", characters=sorted(set(hostile + "\u2028\x07\u202e")))
    page = html_page(case.model.trained, case.model.defaults, name=hostile)
    opened = Opened(browser, saved(Case(case.model, page), tmp_path))
    assert opened.page.inner_text("h1") == hostile
    assert opened.page.title() == hostile
    assert opened.call("document.images.length") == 0
    text = opened.call("charrnn.generate('', {length: 200, rngSeed: 5})")
    assert text == "".join(case.model.generate("", length=200, rng_seed=5))
    opened.page.fill("#text", text)
    opened.wait_until("document.querySelectorAll('#expected li').length > 0")
    assert opened.complaints == []


def test_every_field_has_a_name_for_screen_readers(
    stream: Case, browser: Any, tmp_path: Path
) -> None:
    opened = Opened(browser, saved(stream, tmp_path))
    assert opened.call(UNNAMED) == []


def test_what_is_typed_takes_the_form_that_the_model_learned(
    stream: Case, browser: Any, tmp_path: Path
) -> None:
    file, model = tmp_path / "page.html", stream.model
    page = html_page(model.trained, model.defaults, name="a run", normalize="nfc")
    file.write_text(page, encoding="utf-8")
    opened = Opened(browser, file)
    opened.page.fill("#text", "ae\u0301b")
    opened.page.evaluate("document.querySelector('#text').setSelectionRange(2, 2)")
    opened.page.keyboard.insert_text("o\u0302")
    assert opened.page.input_value("#text") == "a\u00e9\u00f4b"
    assert opened.call("document.querySelector('#text').selectionEnd") == 3
    assert not opened.complaints
