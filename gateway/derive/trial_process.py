"""The process of one trial: `python -m gateway.derive.trial_process`, which `trials` starts and talks to.

It reads frames from its standard input: four bytes of length, and a pickle. The first has the declaration with what it
may be made of, the second the partitions, each further one records of a partition. It writes two lines of JSON: what is
said of the declaration, and, at the end of the input, what came of the records; the value of a row is a text there.

The system bounds its processor time and its memory, and lets everything else run first. So a declaration of an
untrusted client holds up nobody.
"""

from __future__ import annotations

import os
import pickle
import resource
import struct
import sys
import time
import traceback
from contextlib import suppress
from typing import Any, BinaryIO

import orjson

from gateway.catalog.catalog import Catalog
from gateway.derive.trial import Trial
from gateway.model.record import Record, TopicPartition

LENGTH = struct.Struct(">I")
PROCESSOR_SECONDS = 8
"""After these the system ends the process, whatever it does."""
MEMORY_BYTES = 768 * 1024 * 1024
"""Of addresses, of which some 150 MB are taken by the program itself."""
NICENESS = 10


def main() -> None:
    """Until the end of the input."""
    for limit, most in (
        (resource.RLIMIT_CPU, PROCESSOR_SECONDS),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        # Some systems have no such limit, or a lower one.
        with suppress(ValueError, OSError):
            resource.setrlimit(limit, (most, most))
    os.nice(NICENESS)
    try:
        _run(sys.stdin.buffer)
    except MemoryError:
        _say({"stopped": "it takes too much memory"})
    except Exception:
        _say({"failed": traceback.format_exc()})


def _run(source: BinaryIO) -> None:
    text, known = _frame(source)
    streams, schemas = pickle.loads(known)
    trial = Trial(text, Catalog(streams), schemas)
    runs = trial.derivation is not None
    _say({**trial.said, "inputs": trial.inputs if runs else None})
    partitions = _frame(source) if runs else None
    if partitions is None:
        return
    trial.begin(TopicPartition(*place) for place in partitions)
    while (batch := _frame(source)) is not None:
        place, records = batch
        trial.take(TopicPartition(*place), [Record(*record) for record in records])
    _say(trial.result())


def _frame(source: BinaryIO) -> Any:
    """The next frame; None at the end."""
    head = source.read(LENGTH.size)
    return pickle.loads(source.read(*LENGTH.unpack(head))) if len(head) == LENGTH.size else None


def _say(document: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps({**document, "processor_seconds": time.process_time()}) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
