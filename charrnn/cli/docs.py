"""`charrnn docs`: the documentation, which comes with charrnn."""

import os
import re
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import quote as url_path

import typer

from charrnn.cli.listing import listed
from charrnn.cli.options import Debug, NoColor, completer
from charrnn.console import write_result
from charrnn.errors import UserError
from charrnn.messages import join_words, nearest, quote
from charrnn.shipped import shipped_path

PAGES = {
    "tutorial": "from a text file to a page in the browser, in ten minutes",
    "training": "what a training does, and how to reach the lowest loss in a time",
    "generation": "how characters are chosen, seeds, constraints, many texts at once",
    "evaluation": "losses, line by line, and what they can be compared with",
    "explain": "what the numbers of each view are",
    "export": "pages for the browser, ONNX files, model cards",
    "corpora": "what is read as text, and how it becomes ids",
    "configuration": "every setting",
    "cli": "every command and option",
    "python": "charrnn as a library",
    "ideas": "recurrent networks explained, each idea with a command that shows it",
    "benchmarks": "speed and loss, each figure with the command that measures it",
    "scaling": "training by many processes and machines, and what it costs",
    "reliability": "what survives kills and full disks",
    "architecture": "how the code is organised, and a glossary",
}
PAGE = "The page to show; left out, the list of pages."
LINK = re.compile(r"(!?)\[([^]]+)\]\(([^)\s]+)\)")
WIDEST = 100
"""Columns of a line that is easily read."""


def docs(
    page: Annotated[
        str | None, typer.Argument(metavar="PAGE", help=PAGE, autocompletion=completer(PAGES))
    ] = None,
    _no_color: NoColor = False,
    _debug: Debug = False,
) -> None:
    """Show the documentation: the tutorial, every setting and more. It comes with charrnn.

    In a pipe a page is Markdown.

    For example:

        charrnn docs

        charrnn docs tutorial

        charrnn docs cli | grep temperature
    """
    if page is None:
        write_result(listed("charrnn docs PAGE shows:", PAGES))
        return
    name = page.removesuffix(".md")
    if name not in PAGES:
        near = nearest(name, PAGES)
        raise UserError(
            f"{quote(page)} is no page of the documentation",
            hint=f"did you mean {near}?" if near else f"the pages are {join_words(PAGES, 'and')}",
        )
    text = shipped_path(f"docs/{name}.md").read_text(encoding="utf-8")
    _show(LINK.sub(_link_that_leads_somewhere, text).rstrip())


def _link_that_leads_somewhere(link: re.Match[str]) -> str:
    """Turn a link within the repository into a command, or into the place of an installed file."""
    is_picture, text, target = link.groups()
    place, _, _ = target.partition("#")
    if "://" in target:
        return link[0]
    if Path(place).stem in PAGES:
        command = f"charrnn docs {Path(place).stem}"
        return f"`{command}`" if text == place else f"{text} (`{command}`)"
    file = shipped_path(os.path.normpath(f"docs/{place}"))
    leads = f"[{text}]({url_path(str(file))})" if place and file.exists() else text
    return f"*Picture: {leads}*" if is_picture else leads


def _show(text: str) -> None:
    """Write Markdown as it is; on a terminal, as what it means."""
    if sys.stdout is None or not sys.stdout.isatty():
        write_result(text)
        return
    from rich.console import Console as RichConsole
    from rich.markdown import Markdown

    out = RichConsole()
    page = Markdown(text, code_theme="ansi_dark", hyperlinks=False)
    out.print(page, width=min(out.width, WIDEST))
