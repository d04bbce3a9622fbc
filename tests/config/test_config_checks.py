"""What regions.yaml says of active checks beyond the simplest: pace, loads and agents."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
from fleet_file import GOOD, broken, checked, errors

from gslb.config.document import parse
from gslb.config.schema import json_schema
from gslb.fleet import Damping, HealthCheck, Quorum
from gslb.health.checks import AgentCheck, HttpCheck, TcpCheck
from gslb.health.checks.load import LoadPlace, LoadSource

CHECK = "{type: tcp, interval: 1s, timeout: 500ms}"

RIGHT = [
    (
        "{type: tcp, interval: 5s, fast_interval: 500ms, jitter: 0}",
        HealthCheck("quick", TcpCheck(), interval=5.0, fast_interval=0.5, jitter=0.0),
    ),
    (CHECK, HealthCheck("quick", TcpCheck(), interval=1.0, timeout=0.5, fast_interval=None, jitter=0.1)),
    ("{type: http, load: body}", HealthCheck("quick", HttpCheck(load=LoadSource(LoadPlace.BODY)))),
    (
        "{type: http, load: {header: X-Load}}",
        HealthCheck("quick", HttpCheck(load=LoadSource(LoadPlace.HEADER, "X-Load"))),
    ),
    (
        "{type: http, load: {field: system.load}}",
        HealthCheck("quick", HttpCheck(load=LoadSource(LoadPlace.FIELD, "system.load"))),
    ),
    ("{type: tcp, quorum: majority}", HealthCheck("quick", TcpCheck(), quorum=Quorum(0.5, strict=True))),
    ("{type: tcp, quorum: any}", HealthCheck("quick", TcpCheck(), quorum=Quorum(0.0, strict=True))),
    ("{type: tcp, quorum: all}", HealthCheck("quick", TcpCheck(), quorum=Quorum(1.0, strict=False))),
    ("{type: tcp, quorum: 0.6}", HealthCheck("quick", TcpCheck(), quorum=Quorum(0.6, strict=False))),
    ("{type: tcp, quorum: 1}", HealthCheck("quick", TcpCheck(), quorum=Quorum(1.0, strict=False))),
    ("{type: tcp, damping: off}", HealthCheck("quick", TcpCheck(), damping=Damping(flaps=0))),
    ("{type: tcp, damping: false}", HealthCheck("quick", TcpCheck(), damping=Damping(flaps=0))),
    ("{type: tcp, damping: null}", HealthCheck("quick", TcpCheck(), damping=Damping(flaps=0))),
    ("{type: tcp, damping: {}}", HealthCheck("quick", TcpCheck(), damping=Damping())),
    (
        "{type: tcp, damping: {flaps: 2, window: 10m, hold: 30s, most: 1h}}",
        HealthCheck("quick", TcpCheck(), damping=Damping(2, 600.0, 30.0, 3600.0)),
    ),
    ("{type: agent, port: 9999}", HealthCheck("quick", AgentCheck(9999))),
    (
        '{type: agent, port: 9999, send: "web\\n", connect: false}',
        HealthCheck("quick", AgentCheck(9999, b"web\n", connect=False)),
    ),
]


@pytest.mark.parametrize(("text", "expected"), RIGHT, ids=[text for text, _ in RIGHT])
def test_what_a_check_says_is_what_is_probed(tmp_path: Path, text: str, expected: HealthCheck) -> None:
    whole = broken(CHECK, text)
    result = checked(tmp_path, whole)
    assert result.errors == ()
    assert result.fleet is not None
    assert result.fleet.pools["web"].check == expected
    data = parse(whole, "regions.yaml", {}).data
    jsonschema.Draft202012Validator(json_schema()).validate(data)


WRONG = [
    (
        "{type: tcp, fast_interval: 6s}",
        "15:10: checks.quick: fast_interval is longer than interval; make it shorter, or leave it out",
    ),
    ("{type: tcp, jitter: 0.6}", "15:30: checks.quick.jitter: 0.6 is too large; the most is 0.5"),
    (
        "{type: tcp, quorum: most}",
        "15:30: checks.quick.quorum: 'most' is not a quorum; write majority, any, all, or a share "
        "such as 0.6",
    ),
    (
        "{type: tcp, quorum: 0}",
        "15:30: checks.quick.quorum: 0 is not a share above 0 and up to 1; write majority, any, all, or a "
        "share such as 0.6",
    ),
    (
        "{type: tcp, damping: {flaps: 0}}",
        "15:39: checks.quick.damping.flaps: 0 is too small; the least is 1",
    ),
    (
        "{type: tcp, damping: {hold: 1m, most: 30s}}",
        "15:31: checks.quick.damping: most is less than hold; make it as long, or longer",
    ),
    (
        "{type: tcp, damping: {holds: 1m}}",
        "15:32: checks.quick.damping.holds: unknown key; did you mean 'hold'?",
    ),
    (
        "{type: agent}",
        "15:3: checks.quick: `port` is missing; add `port`: where the agent listens, at the target's address",
    ),
    (
        "{type: http, load: header}",
        "15:29: checks.quick.load: is no place where an answer tells the load; write `body`, {header: NAME} "
        "or {field: PATH}, such as {field: system.load}",
    ),
]


@pytest.mark.parametrize(("text", "expected"), WRONG, ids=[text for text, _ in WRONG])
def test_what_a_check_cannot_say_is_told_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    assert errors(tmp_path, broken(CHECK, text)) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "{type: tcp, jitter: 0.6}",
        "{type: tcp, quorum: most}",
        "{type: tcp, quorum: 1.5}",
        "{type: tcp, damping: on}",
        "{type: tcp, damping: {flaps: 0}}",
        "{type: agent}",
        "{type: agent, port: 0}",
        "{type: tcp, load: body}",
        "{type: http, load: header}",
        "{type: http, load: {header: a, field: b}}",
        '{type: http, load: {header: "a b"}}',
    ],
)
def test_editors_refuse_the_same(text: str) -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    assert validator.is_valid(parse(GOOD, "regions.yaml", {}).data)
    assert not validator.is_valid(parse(broken(CHECK, text), "regions.yaml", {}).data)
