"""`charrnn generate`: text on stdout, as it is made, and nothing but text."""

from typing import Any

from charrnn.cli.generate_arguments import command_signature, flags_in_messages, parse
from charrnn.console import Console
from charrnn.machine import use_one_blas_thread


def generate(**values: Any) -> None:
    r"""Write text that continues a seed. Nothing but the text goes to stdout.

    For example:

        charrnn generate --seed "To be" --length 200 --temperature 0.7

        charrnn generate --seed "ROMEO:\n" --escapes --stop "\n\n" --rng-seed 1

        charrnn generate --run runs/names --samples 20 --min-length 4 --ban "-'"

        charrnn generate --match "[A-Z][a-z]+( [a-z]+){3}[.]"

        charrnn generate --seeds - --json < openings.txt

        charrnn generate --seed "Once" --forever | head -c 10000
    """
    with flags_in_messages():
        arguments, changes = parse(values)
        use_one_blas_thread()
        from charrnn.cli.generate_run import run

        run(arguments, changes, Console(quiet=arguments.quiet))


generate.__signature__ = command_signature()  # type: ignore[attr-defined]
