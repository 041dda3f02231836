"""What the validation of an event costs, by the libraries that there are.

    python -m loadtests.validators
    python -m loadtests.validators --schemas DIRECTORY --title mediawiki/recentchange --events events.ndjson

The events are those of the sample feed, or of a file. For each library: the time to compile the schema, and events a
second on one core, parsed already; of valid ones, and of ones with a fault, whose first reason is asked for. `bytes` is
what intake does: parse with orjson, then validate. jsonschema and fastjsonschema are no dependencies of the gateway:
`pip install jsonschema fastjsonschema` beside it, or they are left out. A table comes first, then a line of JSON.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from gateway.demo.wiki import WikiSample
from gateway.schemas.repository import Schema, SchemaRepository
from gateway.schemas.validator import compile_validator, faults

SAMPLE_EVENTS = 2_000
ROUND = 200
"""Events between two looks at the clock."""
BEGIN = 1_772_357_213_007
"""The time of the sample's first event, in milliseconds; any would do."""

Check = Callable[[Any], bool]
"""Whether an event is valid; the first reason is made where it is not."""


def jsonschema_rs(schema: Schema) -> Check:
    """As the gateway does it."""
    validator = compile_validator(schema.document, schema.draft)
    return lambda event: not faults(validator, event)


def fastjsonschema(schema: Schema) -> Check:
    """It knows drafts 4, 6 and 7; a newer schema is read as one of draft 7, which says the same for most."""
    library = importlib.import_module("fastjsonschema")
    document = {key: value for key, value in schema.document.items() if key not in ("$id", "examples")}
    if schema.draft >= "2019":
        document["$schema"] = "http://json-schema.org/draft-07/schema#"
    validate = library.compile(document)

    def check(event: Any) -> bool:
        try:
            validate(event)
        except library.JsonSchemaException:
            return False
        return True

    return check


def jsonschema(schema: Schema) -> Check:
    """The reference in Python, with its formats."""
    library = importlib.import_module("jsonschema")
    names = {"04": "4", "06": "6", "07": "7", "2019-09": "201909", "2020-12": "202012"}
    validator_class = getattr(library, f"Draft{names[schema.draft]}Validator")
    document = {key: value for key, value in schema.document.items() if key != "$id"}
    validator = validator_class(document, format_checker=validator_class.FORMAT_CHECKER)
    return lambda event: next(validator.iter_errors(event), None) is None


LIBRARIES: dict[str, Callable[[Schema], Check]] = {
    "jsonschema-rs": jsonschema_rs,
    "fastjsonschema": fastjsonschema,
    "jsonschema": jsonschema,
}


def sample() -> list[bytes]:
    """Events of the sample feed."""
    feed = WikiSample(7, BEGIN)
    return [orjson.dumps(feed.next(BEGIN + 50 * number)[0]) for number in range(SAMPLE_EVENTS)]


def broken(event: Any) -> Any:
    """The event with a fault that stands deep in it."""
    return {**event, "meta": {**event.get("meta", {}), "dt": 17}}


def rate(check: Callable[[Any], Any], events: list[Any], seconds: float) -> float:
    """Events a second: the best of three, since whatever else runs only takes away."""
    best = 0.0
    for _ in range(3):
        count = 0
        begin = time.perf_counter()
        while (spent := time.perf_counter() - begin) < seconds / 3:
            for event in events:
                check(event)
            count += len(events)
        best = max(best, count / spent)
    return best


def measure(name: str, schema: Schema, values: list[bytes], seconds: float) -> dict[str, Any]:
    """One library. Raises ImportError where it is not installed, and SystemExit where it judges wrongly."""
    importlib.import_module(name.replace("-", "_"))
    begin = time.perf_counter()
    check = LIBRARIES[name](schema)
    compiled = time.perf_counter() - begin
    valid = [orjson.loads(value) for value in values]
    invalid = [broken(event) for event in valid]
    if not all(map(check, valid)) or any(map(check, invalid)):
        raise SystemExit(f"{name} judges the events otherwise than they are")
    # A round is short, so that a slow library ends in time too.
    few = valid[:ROUND], invalid[:ROUND], values[:ROUND]
    return {
        "library": name,
        "version": importlib.metadata.version(name),
        "compile_ms": round(compiled * 1000, 2),
        "valid": round(rate(check, few[0], seconds)),
        "invalid": round(rate(check, few[1], seconds)),
        "bytes": round(rate(lambda value: check(orjson.loads(value)), few[2], seconds)),
    }


def main() -> None:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.validators", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--schemas", type=Path, default=Path("config/schemas"))
    parser.add_argument("--title", default="wiki/change")
    parser.add_argument("--events", type=Path, help="newline-delimited JSON instead of the sample")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each figure")
    arguments = parser.parse_args()
    schema = SchemaRepository([arguments.schemas]).get(arguments.title)
    if schema is None:
        raise SystemExit(f"there is no schema {arguments.title}")
    values = sample() if arguments.events is None else arguments.events.read_bytes().splitlines()
    size = sum(map(len, values)) / len(values)
    print(f"{schema.uri}, {len(values)} events of {size:.0f} bytes, Python {sys.version.split()[0]}")
    print(f"{'library':<24}{'compile ms':>12}{'valid/s':>12}{'invalid/s':>12}{'bytes/s':>12}")
    results = []
    for name in LIBRARIES:
        try:
            result = measure(name, schema, values, arguments.seconds)
        except ImportError:
            print(f"{name:<24}not installed")
            continue
        results.append(result)
        label = f"{name} {result['version']}"
        print(f"{label:<24}{result['compile_ms']:>12}{result['valid']:>12,}", end="")
        print(f"{result['invalid']:>12,}{result['bytes']:>12,}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
