"""The declaration of rules: what is read, and each mistake with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.catalog.catalog import Catalog
from gateway.catalog.derivation import Derivation
from gateway.catalog.stream import Stream
from gateway.rules.rule import Produce, Request
from gateway.rules.template import LONGEST_HEADER
from tests.rules.kit import CATALOG, PURGE, rule_of, rules_of

FULL = """
purge:
  on: [wiki.page-create]
  where: event.page_namespace == 0
  do:
    - request:
        method: PUT
        url: "https://cache.example/purge/{event.wiki}/{event.title}"
        timeout: 5s
        headers: {X-Request-Id: "{event.meta.request_id}", Authorization: Bearer secret}
        json: {title: event.title, list: [1, event.x]}
    - produce: {stream: wiki.made, select: {title: event.title}}
  key: event.page_id
  ordered: true
  concurrency: 20
  limit: 100/s
  retry: {on: [5xx, 429, timeout], after: [30s, 5m, 1h]}
  ignore: [404, 412]
  give_up_after: 1d
  dead_stream: wiki.purge-dead
"""


def test_a_whole_rule_is_read() -> None:
    rule = rule_of(FULL)
    request, produce = rule.actions
    assert isinstance(request, Request)
    assert isinstance(produce, Produce)
    assert (request.method, request.timeout) == ("PUT", 5_000)
    assert [name for name, _ in request.headers] == ["x-request-id", "authorization"]
    assert [name for name, _ in produce.select] == ["title"]
    assert (rule.ordered, rule.concurrency, rule.limit.per_second) == (True, 20, 100)
    assert rule.policy.delays == (30_000, 300_000, 3_600_000)
    assert rule.policy.retried == frozenset({429, *range(500, 600)})
    assert rule.policy.ignored == frozenset({404, 412})
    assert rule.policy.give_up_after == 86_400_000


def test_a_short_one_has_defaults() -> None:
    rule = rule_of(
        "a:\n  on: [wiki.page-create]\n  do: [{request: {url: http://h.example}}]\n  dead_stream: wiki.purge-dead\n"
    )
    (request,) = rule.actions
    assert isinstance(request, Request)
    assert (request.method, request.timeout, request.has_json) == ("POST", 10_000, False)
    assert (rule.where, rule.key, rule.ordered, rule.concurrency, rule.limit.limited) == (None, None, False, 10, False)


@pytest.mark.parametrize(
    ("line", "instead", "told"),
    [
        (3, "on: [wiki.page-creat]", "3: purge: on names wiki.page-creat, and there is no such stream; did"),
        (3, "on: wiki.page-create", "3: purge: on is \"wiki.page-create\"; it takes a list"),
        (3, "on: []", "3: purge: on is an empty list; it takes a list of at least one stream"),
        (3, "on: [wiki.page-create, wiki.page-create]", "3: purge: on holds wiki.page-create twice"),
        (4, "where: event.page_namespace +", "4: purge: where: line 1, column 23"),
        (4, "where: event.a + 1", "4: purge: where: line 1, column 1"),
        (4, "were: event.a", "4: purge: a rule has no were; did you mean where?"),
        (4, "where: [1]", "4: purge: where is a list; it takes an expression"),
        (7, "method: put", "7: purge: method takes one such as POST, in"),
        (7, "method: CONNECT", "7: purge: method takes one"),
        (8, "url: 'https://{event.host}/'", "8: purge: url: it takes http:// or https:// and a host that is"),
        (8, "url: 'https://h.example/{event.}'", "8: purge: url: {event.}: line 1"),
        (8, "url: 'https://h.example/{event.a'", "8: purge: url: a { has no } that ends it"),
        (8, "uri: 'https://h.example/'", "8: purge: a request has no uri; did you mean url?"),
        (9, "timeout: 0s", "9: purge: timeout is \"0s\"; it takes a number with ms"),
        (9, "timeout: 1h", "9: purge: timeout is \"1h\""),
        (10, "headers: {Host: x}", "10: purge: headers: \"Host\" is written by the gateway"),
        (10, "headers: {Idempotency-Key: x}", "10: purge: headers: \"Idempotency-Key\" is written by the gateway"),
        (10, "headers: {'a b': x}", "10: purge: headers: \"a b\" cannot be the name of a header"),
        (10, "headers: {Host_file: /x}", "10: purge: headers: \"Host_file\" is written by the gateway"),
        (10, "headers: {_file: /x}", "10: purge: headers: \"_file\" cannot be the name of a header"),
        (10, "headers: {a: x, A: y}", "10: purge: headers: a and A are both given; keep one of them"),
        (10, "headers: {a_file: 1}", "10: purge: headers: a_file is the number 1; it takes the path of a file"),
        (10, "headers: {a: 1}", "10: purge: headers: a is the number 1; it takes a text"),
        (10, "headers: {a: \"x\\r\\ny\"}", "10: purge: headers: a: it takes what ASCII can print"),
        (11, "json: {title: event.}", "11: purge: json: line 1"),
        (12, "- produce: {stream: wiki.mad}", "12: purge: stream of produce is wiki.mad, and there is no stream of"),
        (12, "- produce: {stream: wiki.made, select: {meta: event.meta}}", "12: purge: select: meta takes"),
        (12, "- shell: rm", "12: purge: an action is {request: …} or {produce: …}"),
        (13, "", "14: purge: ordered is true, and there is no key whose events it could order"),
        (15, "concurrency: 0", "15: purge: concurrency is the number 0; it takes a whole number from 1 to 100"),
        (16, "limit: 100", "16: purge: limit is the number 100; it takes a number a second, minute or hour"),
        (16, "limit: 0/s", "16: purge: limit is \"0/s\""),
        (17, "retry: {on: [6xx]}", "17: purge: on holds \"6xx\"; it takes a list of statuses"),
        (17, "retry: {after: [5m, 30s]}", "17: purge: after has 30s behind 5m"),
        (17, "retry: {after: [8d]}", "17: purge: after is \"8d\""),
        (17, "retry: {afer: [5m]}", "17: purge: retry has no afer; did you mean after?"),
        (18, "ignore: 404", "18: purge: ignore is the number 404"),
        (19, "give_up_after: soon", "19: purge: give_up_after is \"soon\""),
        (20, "", "2: purge: dead_stream is missing; it takes the name of a stream"),
        (20, "dead_stream: wiki.page-create", "2: purge: what it writes comes back to it, by wiki.page-create"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(line: int, instead: str, told: str) -> None:
    lines = FULL.split("\n")
    kept = lines[line - 1]
    lines[line - 1] = kept[: len(kept) - len(kept.lstrip())] + instead
    rules, mistakes = rules_of("\n".join(lines))
    assert any(mistake.startswith(f"file:{told}") for mistake in mistakes), mistakes
    assert not rules or "comes back" in told


SECRET = """
purge:
  on: [wiki.page-create]
  do:
    - request:
        url: https://cache.example/
        headers:
          accept: "*/*"
          Authorization_file: {file}
  dead_stream: wiki.purge-dead
"""


def test_the_value_of_a_header_may_stand_in_a_file_which_is_read_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(" Bearer {event.title}\n")
    rule = rule_of(SECRET.format(file=file))
    (request,) = rule.actions
    assert isinstance(request, Request)
    # No template: a secret may have braces.
    assert [(name, template.parts) for name, template in request.headers] == [
        ("accept", ("*/*",)), ("authorization", ("Bearer {event.title}",)),
    ]  # fmt: skip
    file.write_text("Bearer other\n")
    # After a reload it is another rule.
    assert rule_of(SECRET.format(file=file)) != rule


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read (no such file or directory)"), (b"", "is empty"), (b" \n", "is empty"),
        (b"\xff", "is not UTF-8"), (b"sesame\nx: y", "it holds something else than what ASCII can print on one line"),
        ("sésame".encode(), "it holds something else"), (b"s" * (LONGEST_HEADER + 1), "it holds 8001 bytes, and 8000"),
    ],
)  # fmt: skip
def test_a_file_that_holds_no_header_is_told_with_its_line_and_not_repeated(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    rules, (mistake,) = rules_of(SECRET.format(file=file))
    assert not rules
    assert mistake.startswith("file:9: purge: headers: Authorization_file: ")
    assert why in mistake
    assert "sesame" not in mistake


@pytest.mark.parametrize("order", [0, 1])
def test_a_header_and_its_file_are_not_both_given(tmp_path: Path, order: int) -> None:
    (tmp_path / "token").write_text("x")
    lines = SECRET.format(file=tmp_path / "token").split("\n")
    lines.insert(8 + order, "          authorization: Bearer x")
    _, mistakes = rules_of("\n".join(lines))
    names = "Authorization_file and authorization" if order else "authorization and Authorization_file"
    assert mistakes == [f"file:10: purge: headers: {names} are both given; keep one of them"]


@pytest.mark.parametrize("name", ["a b", "", "-a", "é", "a" * 201])
def test_a_name_makes_topics(name: str) -> None:
    _, mistakes = rules_of(f'"{name}": {{on: [wiki.page-create]}}')
    assert "cannot be the name of a rule" in mistakes[0]


def test_the_topics_of_a_rule_are_nobody_elses() -> None:
    catalog = Catalog([*CATALOG.streams.values(), Stream("purge.retry-30s", ("purge.retry-30s",))])
    _, mistakes = rules_of(PURGE, catalog)
    assert mistakes == ["file:2: purge: its topic purge.retry-30s is one of a stream; choose another name"]


def test_no_event_goes_round_through_other_rules_and_derived_streams() -> None:
    derived = Stream("back", ("back",), derive=Derivation(("wiki.made",)))
    catalog = Catalog([*CATALOG.streams.values(), derived])
    _, told = rules_of(PURGE.replace("dead_stream: wiki.purge-dead", "dead_stream: back"), catalog)
    assert told == ["file:8: purge: dead_stream is back, which takes no events; give it a schema_title"]
    rule = "{name}:\n  on: [{on}]\n  do: [{{produce: {{stream: {to}}}}}]\n  dead_stream: wiki.purge-dead\n"
    there = rule.format(name="there", on="back", to="wiki.page-create")
    back = rule.format(name="and-back", on="wiki.page-create", to="wiki.made")
    assert not rules_of(there, catalog)[1]
    _, mistakes = rules_of(there + back, catalog)
    assert [mistake.split(",")[0] for mistake in mistakes] == [
        "file:1: there: what it writes comes back to it",
        "file:5: and-back: what it writes comes back to it",
    ]


@pytest.mark.parametrize("text", ["[]", "1", "a: 1", "a: []"])
def test_what_is_no_mapping_is_told(text: str) -> None:
    assert rules_of(text)[1]
