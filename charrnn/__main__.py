"""Where the `charrnn` command and `python -m charrnn` begin."""

import signal


def main() -> None:
    """Run the command line; while it is imported, Ctrl-C has nothing to put away and just ends."""
    is_heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_heard:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from charrnn.cli import app

    if is_heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    app.main()


if __name__ == "__main__":
    main()
