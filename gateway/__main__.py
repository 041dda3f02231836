"""`gateway`, and `python -m gateway`."""

import os
import signal
import sys


def _open_standard_files() -> set[int]:
    """Returns the standard descriptors that were closed (`2>&-`), and now are not: each would be the next file that is
    opened, and the log be written into that."""
    closed = set()
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
        closed.add(descriptor)
    os.close(descriptor)
    return closed


def _end(number: int, _: object) -> None:
    os._exit(128 + number)


def main() -> None:
    """Run the command that the command line names."""
    closed = _open_standard_files()
    is_server = sys.argv[1:2] in (["serve"], ["demo"])
    # A second of imports comes first, in which nothing is there yet that would have to be ended in order. Without a
    # handler SIGTERM is lost where this is the first process of a container, and SIGINT is a traceback.
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)
    if is_server:
        # To a server SIGHUP means a reload, and must not end it while it starts.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    from gateway.process import standard_streams

    standard_streams.install(closed)
    from gateway.commands.cli import main as command

    if not is_server and signal.getsignal(signal.SIGINT) is _end:
        from gateway.process.signals import raise_interrupts

        raise_interrupts()
    try:
        try:
            command()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except standard_streams.OutputFailed as failed:
        if failed.reader_gone:
            sys.exit(128 + signal.SIGPIPE)
        name = " ".join(["gateway", *(word for word in sys.argv[1:2] if word.isalpha())])
        sys.exit(f"{name}: {failed}")


if __name__ == "__main__":
    main()
