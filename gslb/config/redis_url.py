"""Reads the URL of Redis; it may hold a password, so that no error here says any part of it."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from pydantic import PlainValidator, WithJsonSchema

from gslb.config.values import text_of
from gslb.config.wrong_value import WrongError
from gslb.fleet import Secret

SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster")
_LOOK = (
    "write redis://HOST:PORT/DATABASE, rediss://, unix:///PATH, redis+sentinel://HOST,HOST/SERVICE "
    "or redis+cluster://HOST,HOST"
)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:,\[\]]+)(?::(?P<port>\d{1,5}))?", re.ASCII)
_DATABASE = re.compile(r"/?\d{0,9}", re.ASCII)


def parse_redis_url(value: object) -> Secret | None:
    """The URL, kept secret; None for an empty one, so that `${REDIS_URL:-}` may be left unset.

    Raises WrongError.
    """
    text = text_of(value).strip()
    if not text:
        return None
    scheme, colon, _ = text.partition("://")
    if not colon or scheme not in SCHEMES:
        raise WrongError(f"does not begin with {', '.join(f'{known}://' for known in SCHEMES)}", _LOOK)
    try:
        complaint = _COMPLAINTS.get(scheme, _complaint)(text)
    except ValueError:
        complaint = "is not a URL"
    if complaint:
        raise WrongError(complaint, _LOOK)
    return Secret(text)


def _complaint(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme == "unix":
        return _clients_complaint(text, parts.query) if parts.path else "names no socket"
    if not parts.hostname or parts.port == 0:
        return "names no server"
    if not _DATABASE.fullmatch(parts.path):
        return "has a path that is not the number of a database"
    return _clients_complaint(text, parts.query)


def _clients_complaint(text: str, options: str) -> str:
    """What the client itself refuses of the options; the connection is made as it is before it connects."""
    if not options:
        return ""
    from redis.asyncio import ConnectionPool

    try:
        ConnectionPool.from_url(text).make_connection()  # type: ignore[no-untyped-call]
    except Exception:
        # Of any kind: a wrong option ends up as an argument somewhere. Its words may quote any part.
        return "has an option behind the `?` that the Redis client refuses"
    return ""


def _sentinel_complaint(text: str) -> str:
    parts = urlsplit(text)
    if not _all_are_hosts(parts.netloc):
        return "has a sentinel that is not a HOST:PORT"
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        return "does not say which service to ask the sentinels for"
    return "" if _DATABASE.fullmatch(database) else "has a path that does not end in the number of a database"


def _cluster_complaint(text: str) -> str:
    parts = urlsplit(text)
    if not _all_are_hosts(parts.netloc):
        return "has a node that is not a HOST:PORT"
    if parts.path not in ("", "/", "/0") or "db" in parse_qs(parts.query):
        return "has a database, which a Cluster has not"
    return _clients_complaint(f"redis://node?{parts.query}", parts.query)


def _all_are_hosts(network_location: str) -> bool:
    hosts = [_HOST.fullmatch(host) for host in network_location.rpartition("@")[2].split(",")]
    return all(host is not None and 0 < int(host["port"] or 1) < 65536 for host in hosts)


_COMPLAINTS = {"redis+sentinel": _sentinel_complaint, "redis+cluster": _cluster_complaint}


RedisUrl = Annotated[Secret | None, PlainValidator(parse_redis_url), WithJsonSchema({"type": "string"})]
