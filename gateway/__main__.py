"""`gateway`, and `python -m gateway`."""

import os
import signal
import sys


def _open_standard_files() -> None:
    """A standard descriptor that was closed (`2>&-`) would be the next file that is opened, and the log be written into
    that."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def main() -> None:
    """Run the command that the command line names."""
    _open_standard_files()
    if sys.argv[1:2] in (["serve"], ["demo"]):
        # To a server SIGHUP means a reload, and must not end it while it starts: that begins with a second of imports.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    from gateway.cli import main as command

    command()


if __name__ == "__main__":
    main()
