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


def _end_mixed() -> None:
    """The client alone (`event-gateway-client`) has some of these very files. In one environment both work, and share
    them, as long as they are of one version. What was installed last has replaced them; what is removed, removes them.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        own, client = version("event-gateway"), version("event-gateway-client")
    except PackageNotFoundError:
        return
    if own != client:
        sys.exit(
            f"gateway: event-gateway {own} and event-gateway-client {client} share files, and are not of one version: "
            "install the same version of both"
        )


def main() -> None:
    """Run the command that the command line names."""
    try:
        _run()
    except ImportError as missing:
        if (missing.name or "").partition(".")[0] != "gateway":
            raise
        _end_mixed()
        sys.exit(
            f"gateway: {missing.name} is missing or incomplete, as after `pip uninstall event-gateway-client`: "
            "install event-gateway again (pip install --force-reinstall)"
        )


def _run() -> None:
    closed = _open_standard_files()
    is_server = sys.argv[1:2] in (["serve"], ["demo"])
    # A second of imports comes first, in which nothing is there yet that would have to be ended in order. Without a
    # handler SIGTERM is lost where this is the first process of a container, and SIGINT is a traceback.
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)
    # Whoever ignores the end of its children hands that on to this process, which then would not hear of its own.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if is_server:
        # To a server SIGHUP means a reload, and must not end it while it starts.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        _end_mixed()
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
