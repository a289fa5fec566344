"""Pictures as one HTML file that needs nothing else: no server, no network, no second file.

What is the reader's own (text, names, numbers) goes into the page escaped, or as JSON that only
`page.js` reads; the page's own policy forbids it to load anything.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from charrnn import __version__
from charrnn.console import escape_controls
from charrnn.explain.picture import ColouredText, Picture, Table
from charrnn.explain.plots import chart_as_svg
from charrnn.messages import one_line

PARTS = Path(__file__).parent / "page"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
STEPS = 127
"""A number of a channel is one byte: from -127 to 127, and -128 where nothing is known."""
UNKNOWN = -128


def page_of(pictures: Mapping[str, Picture], title: str) -> str:
    """Put pictures into one page, under `title`; a single one has its own title alone.

    Charts need matplotlib.
    """
    several = len(pictures) > 1
    if not several:
        (title,) = (picture.title for picture in pictures.values())
    sections = "\n".join(
        _section(name, picture, titled=several) for name, picture in pictures.items()
    )
    links = "".join(f'<a href="#{escape(name)}">{escape(name)}</a> ' for name in pictures)
    style = (PARTS / "page.css").read_text(encoding="utf-8")
    script = (PARTS / "page.js").read_text(encoding="utf-8")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="charrnn {__version__}">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(title)}</title>
<style>
{style}</style>
</head>
<body>
<h1>{_text(title)}</h1>
{f"<nav>{links}</nav>" if several else ""}
{sections}
<div id="tip" role="status" hidden></div>
<script>
{script}</script>
</body>
</html>
"""


def _section(name: str, picture: Picture, *, titled: bool) -> str:
    parts = [f'<section id="{escape(name)}">']
    if titled:
        parts.append(f"<h2>{_text(picture.title)}</h2>")
    parts += [f"<p>{_text(sentence)}</p>" for sentence in picture.sentences]
    if picture.equations:
        parts.append(f"<pre>{_text(picture.equations)}</pre>")
    if picture.text is not None:
        parts.append(_coloured(picture.text))
    parts += [f"<figure>{chart_as_svg(chart)}</figure>" for chart in picture.charts]
    parts += [_table(table) for table in picture.tables]
    return "\n".join([*parts, "</section>"])


def _text(text: str) -> str:
    """Escape text for HTML; control characters are shown."""
    return escape(escape_controls(text))


def _table(table: Table) -> str:
    kinds = [' class="number"' * table.is_number(at) for at in range(len(table.columns))]
    head = "".join(
        f'<th scope="col"{kind}>{_text(column)}</th>'
        for kind, column in zip(kinds, table.columns, strict=True)
    )
    rows = "\n".join(f"<tr>{''.join(map(_cell, row, kinds))}</tr>" for row in table.rows)
    return (
        f"<table>\n<caption>{_text(table.title)}</caption>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"
    )


def _cell(text: str, kind: str) -> str:
    return f"<td{kind}>{escape(one_line(text))}</td>"


def _coloured(text: ColouredText) -> str:
    """A text that `page.js` colours, with its data beside it."""
    data = {
        "characters": text.characters,
        "unit": text.unit,
        "most": text.most,
        "numbers": text.shown if text.unit else None,
        "likeliest": [
            None if each is None else [(char, round(share, 6)) for char, share in each]
            for each in text.likeliest
        ],
        "channels": [
            {"name": name, "bytes": _as_bytes(values, text.most)}
            for name, values in text.channels.items()
        ],
    }
    title = _text(text.title)
    return f"""<div class="text">
<h3>{title}</h3>
<script type="application/json">{_json(data)}</script>
<div class="characters" tabindex="0" role="group" aria-label="{title}" dir="auto"></div>
<p class="hint">The pointer, or the arrow keys, show what is known of a character.</p>
</div>"""


def _as_bytes(values: Sequence[float | None], most: float | None) -> str:
    numbers = np.array([np.nan if value is None else value for value in values], np.float64)
    steps = np.rint(np.clip(numbers / (most or 1.0), -1, 1) * STEPS)
    return base64.b64encode(np.nan_to_num(steps, nan=UNKNOWN).astype(np.int8).tobytes()).decode()


def _json(value: Any) -> str:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
