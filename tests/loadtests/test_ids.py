"""The measurement of ids measures what a server sends."""

from __future__ import annotations

import pytest

from loadtests import ids

DATA = [b'{"n":%d,"text":"%s"}' % (number, b"x" * 200) for number in range(ids.WARM + 20)]


@pytest.mark.parametrize("partitions", [1, 30])
def test_both_forms_are_measured(partitions: int) -> None:
    sent: list[bytes] = []
    text, compact = (ids.measure(partitions, form, DATA, sent.append) for form in ids.FORMS)
    assert compact.identifier < text.identifier
    assert 0 < text.gzip < text.plain
    # The frame is the event, its id and what stands around them.
    assert text.plain - compact.plain == pytest.approx(text.identifier - compact.identifier, abs=2)
    assert len(sent) == 2 * len(DATA)
    assert b"id: [{" in sent[0]
    assert b"id: p1." in sent[-1]
