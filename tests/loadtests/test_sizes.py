"""docs/SIZES.md says what was measured."""

from __future__ import annotations

import pytest

from loadtests.sizes import DOCUMENT, RATES, clients, million, read_medians, read_parts, written


def cells(table: str) -> list[list[str]]:
    """The rows without the header and its rule."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.split("\n")[2:]]


def test_the_tables_are_those_of_the_results() -> None:
    document = DOCUMENT.read_text()
    assert written(document, read_medians(), read_parts()) == document, "run scripts/docs"


def test_a_table_is_written_over_an_older_one_and_nothing_else() -> None:
    document = DOCUMENT.read_text()
    stale = document.replace("| 1 event/s ", "| 9 event/s ").replace("## Memory", "## Memory of all")
    assert stale != document
    found = written(stale, read_medians(), read_parts())
    assert found == document.replace("## Memory", "## Memory of all")


def test_the_capacity_follows_from_the_cost_of_a_delivery() -> None:
    """A core that is used by half: the formula of the document, by hand."""
    found = {name: {"gateway": {"cpu_us_per_delivery": 5.0, "bytes_per_delivery": 1250.0}} for name in (*RATES, "gzip")}
    found["gzip"]["gzip"] = {"cpu_us_per_delivery": 2.5, "bytes_per_delivery": 250.0}
    rows = cells(clients(found))
    assert rows[0] == ["1 event/s", "100,000", "200,000", "400,000", "1 Gbit/s"]
    assert rows[2] == ["100 events/s", "1,000", "2,000", "4,000", "1 Gbit/s"]
    assert rows[-1] == ["100 events/s, gzip", "2,000", "4,000", "8,000", "0.4 Gbit/s"]


def test_a_million_are_bound_by_what_runs_out_first() -> None:
    storm = {"storm_cpu_seconds": 3.0, "clients": 10_000.0}
    idle = {"kb_per_connection": 8.0, "clients": 10_000.0, "server_percent": 2.0}

    def machines(microseconds: float, kilobytes: float) -> str:
        rare = {"cpu_us_per_delivery": microseconds, "bytes_per_delivery": 1000.0}
        values = {"rare": rare, "idle": idle | {"kb_per_connection": kilobytes}, "storm": storm}
        return cells(million({name: {"gateway": one} for name, one in values.items()}))[3][1]

    assert machines(16.0, 8.0) == "4"  # 32 half-used cores of 8
    assert machines(1.0, 76.0) == "5"  # 80 GB, of which a machine gives 16


def test_a_figure_that_is_missing_is_not_made_up() -> None:
    with pytest.raises(KeyError):
        clients({"rare": {"gateway": {"cpu_us_per_delivery": 1.0, "bytes_per_delivery": 1.0}}})
