"""Where the `charrnn` command and `python -m charrnn` begin."""

import sys


def main() -> None:
    """Run the command line, on a system that has what it needs."""
    if sys.platform == "win32":
        sys.exit("error: charrnn needs Linux or macOS; on Windows use WSL")
    from charrnn.cli import signals

    signals.end_at_once()  # while modules are imported there is nothing to clean up
    from charrnn.cli import app

    app.main()


if __name__ == "__main__":
    main()
