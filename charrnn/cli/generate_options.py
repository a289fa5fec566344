"""The options of `charrnn generate`, in the groups in which its help shows them."""

from typing import Annotated

import typer

BEGINNING = "Where to begin"
END = "Where to end"
SHAPE = "What to write"
OUTPUT = "How to show it"

SeedText = Annotated[
    str | None,
    typer.Option(
        "--seed",
        metavar="TEXT",
        help="The text to continue; - reads all of stdin. "
        "Left out, what the model writes at the beginning of a line.",
        rich_help_panel=BEGINNING,
        show_default=False,
    ),
]
SeedFile = Annotated[
    str | None,
    typer.Option(
        "--seed-file",
        metavar="FILE",
        help="Continue the text of a file.",
        rich_help_panel=BEGINNING,
        show_default=False,
    ),
]
SeedLines = Annotated[
    str | None,
    typer.Option(
        "--seeds",
        metavar="FILE",
        help="Continue every line of a file, or of stdin for -; one result a line, in order.",
        rich_help_panel=BEGINNING,
        show_default=False,
    ),
]
Escapes = Annotated[
    bool,
    typer.Option(
        "--escapes",
        "-e",
        help=r"Read \n, \t, \u00e9 and the like in seeds, --stop, --allow and --ban.",
        rich_help_panel=BEGINNING,
    ),
]
Unknown = Annotated[
    str | None,
    typer.Option(
        "--unknown",
        metavar="WHAT",
        help="A seed's characters that the model does not know: error (the default), "
        "replace, skip, or nearest (the other case, or without accents).",
        rich_help_panel=BEGINNING,
        show_default=False,
    ),
]
LoadState = Annotated[
    str | None,
    typer.Option(
        "--load-state",
        metavar="FILE",
        help="Go on with the stream that --save-state set aside; a seed is read after it.",
        rich_help_panel=BEGINNING,
        show_default=False,
    ),
]
Length = Annotated[
    int | None,
    typer.Option(
        "--length",
        "-l",
        metavar="N",
        help="Characters to make, the seed not counted; 0 goes on for ever.",
        rich_help_panel=END,
        show_default=False,
    ),
]
Forever = Annotated[
    bool, typer.Option("--forever", help="The same as --length 0.", rich_help_panel=END)
]
Stop = Annotated[
    list[str] | None,
    typer.Option(
        "--stop",
        metavar="TEXT",
        help="End before this string. Repeatable.",
        rich_help_panel=END,
        show_default=False,
    ),
]
KeepStop = Annotated[
    bool,
    typer.Option("--keep-stop", help="End after the stop string.", rich_help_panel=END),
]
MinLength = Annotated[
    int | None,
    typer.Option(
        "--min-length",
        metavar="N",
        help="Make at least so many characters before a line, a match or a --stop ends.",
        rich_help_panel=END,
        show_default=False,
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        "--temperature",
        "-t",
        metavar="X",
        help="Below 1 safer, above 1 wilder; 0 always takes the most probable character.",
        rich_help_panel=SHAPE,
        show_default=False,
    ),
]
TopK = Annotated[
    int | None,
    typer.Option(
        "--top-k",
        metavar="K",
        help="Only the K most probable characters; 0 for all.",
        rich_help_panel=SHAPE,
        show_default=False,
    ),
]
TopP = Annotated[
    float | None,
    typer.Option(
        "--top-p",
        metavar="P",
        help="Only the fewest characters whose probabilities sum to P.",
        rich_help_panel=SHAPE,
        show_default=False,
    ),
]
MinP = Annotated[
    float | None,
    typer.Option(
        "--min-p",
        metavar="P",
        help="Only characters at least P times as probable as the most probable one.",
        rich_help_panel=SHAPE,
        show_default=False,
    ),
]
Allow = Annotated[
    str | None,
    typer.Option(
        "--allow",
        metavar="CHARACTERS",
        help="Write these characters only.",
        rich_help_panel=SHAPE,
        show_default=False,
    ),
]
Ban = Annotated[
    str | None,
    typer.Option(
        "--ban",
        metavar="CHARACTERS",
        help="Never write these characters.",
        rich_help_panel=SHAPE,
        show_default=False,
    ),
]
Match = Annotated[
    str | None,
    typer.Option(
        "--match",
        metavar="REGEX",
        help="Write only what this regular expression matches in full.",
        rich_help_panel=SHAPE,
        show_default=False,
    ),
]
Samples = Annotated[
    int,
    typer.Option(
        "--samples",
        "-n",
        metavar="N",
        help="How many texts to make (for each seed).",
        rich_help_panel=OUTPUT,
    ),
]
RngSeed = Annotated[
    int | None,
    typer.Option(
        "--rng-seed",
        metavar="N",
        help="The random seed: the same one gives the same text. Left out, a new one each time "
        "(--json tells which).",
        rich_help_panel=SHAPE,
        show_default=False,
    ),
]
NoEcho = Annotated[
    bool, typer.Option("--no-echo", help="Leave the seed out.", rich_help_panel=OUTPUT)
]
Null = Annotated[
    bool,
    typer.Option("--null", "-0", help="End every text with a NUL byte.", rich_help_panel=OUTPUT),
]
JsonLines = Annotated[
    bool,
    typer.Option(
        "--json", help="Print a JSON object a line for each text.", rich_help_panel=OUTPUT
    ),
]
LogProbs = Annotated[
    bool,
    typer.Option(
        "--logprobs",
        help="With --json: the log-probability of every character too.",
        rich_help_panel=OUTPUT,
    ),
]
NoveltySpan = Annotated[
    int | None,
    typer.Option(
        "--novelty",
        metavar="N",
        help="Tell which share of a text stands in the training text in spans of N characters "
        "or more, and the longest such span (on stderr, or in --json).",
        rich_help_panel=OUTPUT,
        show_default=False,
    ),
]
SaveState = Annotated[
    str | None,
    typer.Option(
        "--save-state",
        metavar="FILE",
        help="Set the stream aside in a small file when it ends or is interrupted.",
        rich_help_panel=OUTPUT,
        show_default=False,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        metavar="N",
        help="Texts under way at once; left out, what processors and memory allow. "
        "It never changes a text.",
        rich_help_panel=OUTPUT,
        show_default=False,
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="numpy, torch (on a GPU if there is one), or auto, which is numpy.",
        rich_help_panel=OUTPUT,
    ),
]
