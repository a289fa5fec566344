"""Draw docs/page.png: the page of a run, as `charrnn export --to html` makes it, in Chromium.

    python scripts/draw_page.py runs/shakespeare "ROMEO:"

Needs playwright, and Chromium on the path.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, sync_playwright

import charrnn
from charrnn.export.html import html_page

PICTURE = Path(__file__).parent.parent / "docs" / "page.png"
SIZE: ViewportSize = {"width": 1180, "height": 840}
CHARACTERS, RNG_SEED = 448, 3
POINTED_AT = 23
"""The character that the pointer is on."""


def draw(page: Page, seed: str) -> None:
    """Let the page write, and point at a character."""
    page.fill("#text", f"{seed}\n")
    page.fill("#length", str(CHARACTERS))
    page.fill("#rng-seed", str(RNG_SEED))
    page.click("#write")
    while page.inner_text("#write") != "Write on":
        page.wait_for_timeout(100)
    page.evaluate("scrollTo(0, 0)")
    box = page.locator(f"#marks span:nth-child({POINTED_AT})").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.screenshot(path=PICTURE)


def main() -> None:
    """Make the page of a run and take its picture."""
    run, seed = sys.argv[1:]
    model = charrnn.load(run)
    content = html_page(model.trained, model.defaults, name=Path(run).name)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "page.html"
        file.write_text(content, encoding="utf-8")
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport=SIZE)
        page.goto(file.as_uri())
        draw(page, seed)
        browser.close()
    sys.stdout.write(f"{PICTURE.name}\n")


if __name__ == "__main__":
    main()
