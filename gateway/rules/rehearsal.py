"""Tests of rules: events that are given, answers to their requests, and what has to come of them. Pure.

    base: {meta: {dt: "2026-01-01T00:00:00Z"}, page_id: 1}
    tests:
    - name: a page is purged
      rule: purge
      given: [{page_title: A/B}]
      answers: [503, 204]
      expect:
      - request: {method: POST, url: "https://cache.example/purge/A%2FB"}
      - request: {url: "https://cache.example/purge/A%2FB"}

`given` is laid over `base`. Requests are answered by `answers` in their order, and by 204 from then on; `timeout` is no
answer. An outcome is `request`, `event` (with its `stream`) or `dead` (with its `reason`), compared in the members that
it names; how many there are counts. A rule waits for nothing here: another try follows at once.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import orjson
from msgspec.structs import replace

from gateway.catalog.catalog import Catalog
from gateway.catalog.document import Findings, Located, did_you_mean, parse
from gateway.errors import BadRecord
from gateway.intake.validate import InvalidEvent
from gateway.model.record import Record
from gateway.rules.attempt import Answer, Prepared, judge
from gateway.rules.rule import Action, Request, Rule
from gateway.rules.template import Unfillable
from gateway.rules.tries import first_tries
from gateway.rules.work import Work
from gateway.schemas.repository import SchemaRepository

NOW = 1_767_225_600_000
"""The time at which a test begins: 2026-01-01T00:00:00Z."""
_KEYS = ("answers", "expect", "given", "name", "rule")
_KINDS = ("dead", "event", "request")


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One test."""

    name: str
    line: int
    rule: Rule
    given: list[dict[str, Any]]
    answers: list[Answer]
    expect: list[dict[str, Any]]


def read_rehearsals(text: str, rules: dict[str, Rule], findings: Findings) -> list[Rehearsal]:
    """The tests of a file. Mistakes go to `findings`."""
    document = parse(text, findings)
    if document is None:
        return []
    parts = document.value if isinstance(document.value, dict) else {}
    for key, item in parts.items():
        if key not in ("base", "tests"):
            hint = did_you_mean(key, ("base", "tests"))
            findings.mistake(item.line, f"there is no {key}{hint}; it takes base, tests")
    base, tests = parts.get("base"), parts.get("tests")
    if tests is None or not isinstance(tests.value, list) or not tests.value:
        findings.mistake(document.line, "there are no tests; it takes a list of {name, rule, given, expect}")
        return []
    common = base.plain() if base is not None and isinstance(base.value, dict) else {}
    assert isinstance(common, dict)
    found = (_rehearsal(item, rules, common, findings) for item in tests.value)
    return [one for one in found if one is not None]


def _rehearsal(item: Located, rules: dict[str, Rule], base: dict[str, Any], findings: Findings) -> Rehearsal | None:
    before = len(findings.mistakes)
    members = item.value if isinstance(item.value, dict) else {}
    for key, member in members.items():
        if key not in _KEYS:
            findings.mistake(member.line, f"a test has no {key}{did_you_mean(key, _KEYS)}; it takes {', '.join(_KEYS)}")
    plain = item.plain()
    test = plain if isinstance(plain, dict) else {}
    rule = rules.get(str(test.get("rule")))
    if rule is None:
        known = ", ".join(rules) or "none"
        findings.mistake(item.line, f"the rule of the test is {test.get('rule')}; there are {known}")
    given, expect, answers = test.get("given"), test.get("expect"), test.get("answers", [])
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        findings.mistake(item.line, "given takes a list of events")
    kinds = isinstance(expect, list) and all(
        isinstance(one, dict) and len(one) == 1 and next(iter(one)) in _KINDS for one in expect
    )
    if not kinds:
        findings.mistake(item.line, "expect takes a list of outcomes, each {request: …}, {event: …} or {dead: …}")
    if not isinstance(answers, list) or not all(one == "timeout" or type(one) is int for one in answers):
        findings.mistake(item.line, "answers takes a list of statuses, or timeout")
    if len(findings.mistakes) > before or rule is None:
        return None
    events: list[Any] = given if isinstance(given, list) else []
    answered: list[Any] = answers if isinstance(answers, list) else []
    expected: list[Any] = expect if isinstance(expect, list) else []
    return Rehearsal(
        str(test.get("name", f"line {item.line}")),
        item.line,
        rule,
        [_over(base, one) for one in events],
        [Answer(None, "no answer in time") if one == "timeout" else Answer(one) for one in answered],
        expected,
    )


def rehearse(test: Rehearsal, catalog: Catalog, schemas: SchemaRepository) -> list[dict[str, Any]]:
    """What comes of the events, each an outcome."""
    work = Work(test.rule, catalog, schemas)
    answers = list(test.answers)
    topic = catalog.streams[test.rule.sources[0]].topics[0]
    found: list[dict[str, Any]] = []
    for offset, given in enumerate(test.given):
        record = Record(topic, 0, offset, NOW, None, orjson.dumps(given))
        try:
            event = work.event(record)
        except BadRecord:
            event = None
        if event is not None:
            found += _outcomes(work, event, record, answers)
    return found


def _outcomes(work: Work, event: dict[str, Any], record: Record, answers: list[Answer]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    now, rule = NOW, work.rule
    tries = replace(first_tries(rule.name, record), first=now)
    while tries.action < len(work.actions):
        action, prepare, make = work.actions[tries.action]
        tries = replace(tries, tries=tries.tries + 1)
        try:
            if make is not None:
                _, new = make(event, record, tries, now)
                made = orjson.loads(new.value or b"{}")
                found.append({"event": {"stream": made["meta"]["stream"], **made}})
            elif prepare is not None:
                prepared = prepare(event, record, tries)
                found.append({"request": _told(prepared, action)})
                answer = answers.pop(0) if answers else Answer(204)
                verdict = judge(answer, tries.tries, tries.first, now, rule.policy)
                if verdict.kind == "dead":
                    return [*found, {"dead": {"reason": verdict.reason}}]
                if verdict.kind == "retry":
                    now += rule.policy.delays[verdict.delay]
                    continue
        except (Unfillable, InvalidEvent) as error:
            return [*found, {"dead": {"reason": str(error)}}]
        tries = replace(tries, tries=0, action=tries.action + 1)
    return found


def differences(expected: list[dict[str, Any]], found: list[dict[str, Any]]) -> list[str]:
    """Where what came is not what is expected; nothing where it is."""
    told = []
    if len(expected) != len(found):
        told.append(f"{len(expected)} outcomes are expected, and there are {len(found)}")
    for number, (wanted, got) in enumerate(zip(expected, found, strict=False), 1):
        if not _holds(wanted, got):
            told.append(f"outcome {number}: expected {orjson.dumps(wanted).decode()}")
            told.append(f"    and it is {orjson.dumps(got).decode()}")
    told += [f"missing: {orjson.dumps(one).decode()}" for one in expected[len(found) :]]
    told += [f"more than expected: {orjson.dumps(one).decode()}" for one in found[len(expected) :]]
    return told


def _told(request: Prepared, action: Action) -> dict[str, Any]:
    """A request as tests see it; in the place of a secret from a file stands the key that names the file."""
    named = action.headers if isinstance(action, Request) else ()
    secrets = {name: f"({name}_file)" for name, template in named if template.secret}
    told: dict[str, Any] = {
        "method": request.method,
        "url": f"{request.scheme}://{request.authority}{request.target}",
        "headers": {name.decode(): value.decode() for name, value in request.headers} | secrets,
    }
    if request.body is not None:
        told["json"] = orjson.loads(request.body)
    return told


def _holds(wanted: Any, got: Any) -> bool:
    """Whether it is as wanted, in all that is named."""
    if isinstance(wanted, dict):
        return isinstance(got, dict) and all(name in got and _holds(part, got[name]) for name, part in wanted.items())
    if isinstance(wanted, bool) or isinstance(got, bool):
        return wanted is got
    return bool(wanted == got)


def _over(base: Any, given: Any) -> Any:
    """What is given, laid over the base."""
    if not isinstance(base, dict) or not isinstance(given, dict):
        return given
    laid = copy.deepcopy(base)
    for name, value in given.items():
        laid[name] = _over(laid.get(name), value)
    return laid
