"""`gateway`, and `python -m gateway`."""

import signal
import sys


def main() -> None:
    """Run the command that the command line names."""
    if sys.argv[1:2] in (["serve"], ["demo"]):
        # To a server SIGHUP means a reload, and must not end it while it starts: that begins with a second of imports.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    from gateway.cli import main as command

    command()


if __name__ == "__main__":
    main()
