"""`charrnn generate`: text on stdout, as it is made, and nothing but text."""

import typer

from charrnn.cli.generate_options import (
    Allow,
    Ban,
    BatchSize,
    Engine,
    Escapes,
    Forever,
    JsonLines,
    KeepStop,
    Length,
    LoadState,
    LogProbs,
    Match,
    MinLength,
    MinP,
    NoEcho,
    NoveltySpan,
    Null,
    RngSeed,
    Samples,
    SaveState,
    SeedFile,
    SeedLines,
    SeedText,
    Stop,
    Temperature,
    TopK,
    TopP,
    Unknown,
)
from charrnn.cli.options import Debug, Quiet, RunPath
from charrnn.console import Console
from charrnn.machine import use_one_blas_thread

EXAMPLES = r"""
Examples:

    charrnn generate --seed "To be" --length 200 --temperature 0.7

    charrnn generate --seed "ROMEO:\n" --escapes --stop "\n\n" --rng-seed 1

    charrnn generate --run runs/names --samples 20 --min-length 4 --ban "-'"

    charrnn generate --match "[A-Z][a-z]+( [a-z]+){3}[.]"

    charrnn generate --seeds - --json < openings.txt

    charrnn generate --seed "Once" --forever | head -c 10000
"""


def generate(
    run: RunPath = None,
    seed: SeedText = None,
    seed_file: SeedFile = None,
    seeds: SeedLines = None,
    escapes: Escapes = False,
    unknown: Unknown = None,
    load_state: LoadState = None,
    length: Length = None,
    forever: Forever = False,
    stop: Stop = None,
    keep_stop: KeepStop = False,
    min_length: MinLength = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    allow: Allow = None,
    ban: Ban = None,
    match: Match = None,
    rng_seed: RngSeed = None,
    samples: Samples = 1,
    no_echo: NoEcho = False,
    null: Null = False,
    json: JsonLines = False,
    logprobs: LogProbs = False,
    novelty: NoveltySpan = None,
    save_state: SaveState = None,
    batch_size: BatchSize = None,
    engine: Engine = "auto",
    quiet: Quiet = False,
    _debug: Debug = False,
) -> None:
    """Write text that continues a seed. Nothing but the text goes to stdout."""
    from charrnn.cli.generate_request import Request
    from charrnn.cli.seed_input import unescaped

    read = unescaped if escapes else str
    wishes = {
        "length": 0 if forever and not length else length,
        "stop": [read(each) for each in stop or []],
        "keep_stop": keep_stop,
        "min_length": min_length,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "allow": None if allow is None else read(allow),
        "ban": None if ban is None else read(ban),
        "match": match,
        "unknown": unknown,
    }
    request = Request(
        run=run,
        seed=seed,
        seed_file=seed_file,
        seeds=seeds,
        escapes=escapes,
        wishes=wishes,
        rng_seed=rng_seed,
        samples=samples,
        echo=not no_echo,
        null=null,
        json=json,
        logprobs=logprobs,
        novelty=novelty,
        load_state=load_state,
        save_state=save_state,
        batch_size=batch_size,
        engine=engine,
    )
    request.check()
    use_one_blas_thread()
    from charrnn.cli.generate_work import carry_out

    raise typer.Exit(carry_out(request, Console(quiet=quiet)))


generate.__doc__ = f"{generate.__doc__}\n{EXAMPLES}"
