"""Decides whether an exchange has waited too long, and for whom."""

from __future__ import annotations

from enum import Enum, auto

from gslb.fleet_edge import EdgeSettings, Timeouts


class Overdue(Enum):
    """What has taken too long. TOTAL: the whole request. TAKING: the client does not take its response.

    RESPONSE: the rest of it does not come from the server. ANSWER: the server does not begin to answer.
    BODY: the rest of the request does not come from the client.
    """

    TOTAL = auto()
    TAKING = auto()
    RESPONSE = auto()
    ANSWER = auto()
    BODY = auto()


def overdue(
    *,
    age: float,
    silent: float,
    timeouts: Timeouts,
    settings: EdgeSettings,
    client_paused: bool,
    server_paused: bool,
    responding: bool,
    uploaded: bool,
    servers_turn: bool,
) -> Overdue | None:
    """What an exchange at a server has waited for too long, if anything.

    age: seconds since it began; silent: since anything moved. client_paused, server_paused: that side does
    not take what it is sent. responding: the response has begun. uploaded: the server has all of the request.
    servers_turn: before a response, whether nothing goes on without the server.
    """
    if timeouts.total is not None and age > timeouts.total:
        return Overdue.TOTAL
    if client_paused:
        return Overdue.TAKING if silent > settings.write_timeout else None
    if responding:
        limit = timeouts.idle if uploaded else max(timeouts.idle, settings.body_timeout)
        return Overdue.RESPONSE if silent > limit else None
    if servers_turn:
        limit = timeouts.idle if server_paused else timeouts.first_byte
        return Overdue.ANSWER if silent > limit else None
    return Overdue.BODY if silent > settings.body_timeout else None
