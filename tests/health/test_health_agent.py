"""Agents as HAProxy has them: what their words mean, and what goes wrong on the way to them."""

from __future__ import annotations

import re
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from listening_target import PATIENCE, Handler, listening

from gslb.fleet import SocketAddress
from gslb.health.checks import AgentCheck
from gslb.health.checks.agent import LINE_LIMIT, judge_line

NOBODY = SocketAddress("127.0.0.1", 1)


def saying(text: bytes) -> Handler:
    return lambda connection: connection.sendall(text)


def echoing(connection: socket.socket) -> None:
    connection.sendall(connection.recv(100) + b"\n")
    # The connection stays open: the end of the line is the end of the answer.
    connection.recv(100)


@pytest.mark.parametrize(
    ("line", "ok", "load", "reason"),
    [
        ("up", True, None, "agent says up"),
        ("UP 75%", True, 0.25, "agent says up"),
        ("ready,up\t100%", True, 0.0, "agent says up"),
        ("ready", True, None, "agent says ready"),
        ("75%", True, 0.25, "agent answers"),
        ("0%", True, 1.0, "agent answers"),
        ("250%", True, 0.0, "agent answers"),
        ("load=0.42", True, 0.42, "agent answers"),
        ("up 10% load=30%", True, 0.3, "agent says up"),
        ("maxconn:30", True, None, "agent answers"),
        ("up weather:fine", True, None, "agent says up"),
        ("down", False, None, "agent says down"),
        ("down#", False, None, "agent says down"),
        ("stopped # for the  night", False, None, "agent says stopped: for the night"),
        ("fail #up 75%", False, None, "agent says fail: up 75%"),
        ("up drain 50%", False, None, "agent says drain"),
        ("maint", False, None, "agent says maint"),
        ("drain down", False, None, "agent says down"),
        ("", False, None, "agent says nothing that is known"),
        ("#up", False, None, "agent says nothing that is known: #up"),
        ("upward\x1b[2J", False, None, "agent says nothing that is known: upward [2J"),
        (
            "HTTP/1.1 400 Bad Request",
            False,
            None,
            "agent says nothing that is known: HTTP/1.1 400 Bad Request",
        ),
        ("75", False, None, "agent says nothing that is known: 75"),
    ],
)
def test_what_an_agents_words_mean(line: str, ok: bool, load: float | None, reason: str) -> None:
    judged = judge_line(line)
    assert (judged.ok, judged.load, judged.reason, judged.remark) == (ok, load, reason, "")


def test_a_load_that_cannot_be_read_is_told_of_and_is_no_failure() -> None:
    judged = judge_line("up load=much")
    assert (judged.ok, judged.load, judged.remark) == (True, None, ", load illegible")


words = st.sampled_from(["up", "down", "75%", "load=0.5", "load=", "drain", "#", "%", "maxconn:", ",", " "])


@given(st.text() | st.lists(words).map(" ".join))
def test_every_line_has_a_meaning_that_fits_a_line(line: str) -> None:
    judged = judge_line(line)
    assert judged.load is None or (judged.ok and 0 <= judged.load <= 1)
    assert judged.reason.isprintable()
    assert len(judged.reason) < 200


@pytest.mark.parametrize(
    ("said", "ok", "reason"),
    [
        (b"up\n", True, r"agent says up in [\d.]+ ms"),
        (b"up\r\ndown\n", True, r"agent says up in [\d.]+ ms"),
        (b"up", True, r"agent says up in [\d.]+ ms"),
        (b"down #\xff\n", False, "agent says down: \N{REPLACEMENT CHARACTER}"),
        (b"\nup\n", False, "agent says nothing that is known"),
        (b"", False, "agent says nothing that is known"),
        (b"x" * LINE_LIMIT, False, "agent says nothing that is known: x{80}"),
        (b"x" * (LINE_LIMIT + 1) + b"\n", False, f"agent sends more than {LINE_LIMIT} bytes in one line"),
    ],
)
async def test_the_first_line_counts_and_may_end_with_the_connection(
    said: bytes, ok: bool, reason: str
) -> None:
    with listening(saying(said)) as agent:
        outcome = await AgentCheck(agent.port, connect=False).probe(SocketAddress(agent.host, 1), PATIENCE)
    assert re.fullmatch(reason, outcome.reason), outcome.reason
    assert outcome.ok == ok


async def test_an_agent_is_sent_what_it_wants_to_hear() -> None:
    check = AgentCheck.from_options(
        AgentCheck.Options.model_validate({"port": 9, "send": "up 60%\n", "connect": False})
    )
    assert check == AgentCheck(9, b"up 60%\n", connect=False)
    with listening(echoing) as agent:
        outcome = await AgentCheck(agent.port, b"up 60%", connect=False).probe(NOBODY, PATIENCE)
    assert (outcome.ok, outcome.load) == (True, 0.4)


async def test_an_agent_that_is_well_does_not_vouch_for_a_target_that_is_not() -> None:
    with listening(saying(b"up 60%\n")) as agent:
        outcome = await AgentCheck(agent.port).probe(NOBODY, PATIENCE)
        assert (outcome.ok, outcome.reason, outcome.load) == (False, "connection refused", None)
        with listening(saying(b"")) as target:
            assert (await AgentCheck(agent.port).probe(target, PATIENCE)).ok
    refused = await AgentCheck(agent.port).probe(NOBODY, PATIENCE)
    assert refused.reason == "agent: connection refused"


async def test_an_agent_that_says_nothing_takes_no_longer_than_the_timeout() -> None:
    with listening(lambda connection: connection.recv(1)) as agent:
        outcome = await AgentCheck(agent.port).probe(agent, 0.05)
    assert (outcome.ok, outcome.reason) == (False, "timeout after 50 ms")
