"""Makes a Redis client from a URL, with bounded waits, and never lets a password into a message."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import redis.asyncio as redis
from redis.asyncio.connection import ConnectionPool, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from gslb.errors import StoreError
from gslb.fleet import RedisSettings, SocketAddress
from gslb.store.cluster import Nodes, OwnersConnection

SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster")
"""Schemes a URL may have; the last are redis+sentinel://[user:password@]host:port,host:port/service[/db] and
redis+cluster://[user:password@]host:port,host:port."""

UNREACHABLE = (RedisError, OSError, TimeoutError, EOFError)
"""What the client raises when Redis is away, or answers with an error."""

# Up to the last @, whatever is in between: a password may have been written down with slashes unescaped.
_PASSWORD = re.compile(r"(?<=://)([^:@]*):.*@", re.DOTALL)
_PASSWORD_OPTION = re.compile(r"([?&](?:\w*password)=)[^&#]*", re.IGNORECASE)


class _UrlError(ValueError):
    """What is wrong with a URL, in words that quote nothing of it."""


def redact(url: str) -> str:
    """The URL as it may be shown: with asterisks in place of a password."""
    return _PASSWORD_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1:***@", url))


def connect(settings: RedisSettings) -> redis.Redis:
    """A client; nothing is sent before its first command. Every wait is bounded by `settings.timeout`.

    Raises StoreError when there is no URL, or the URL is not one we can use.
    """
    if settings.url is None:
        raise StoreError(
            "no Redis is configured",
            hint="set redis.url in the fleet's file, or use the admin side of the DNS node",
        )
    url = settings.url.reveal()
    # One attempt for one command: who calls decides about the next attempt, and when.
    # RESP2 is what every Redis, Valkey and proxy in between speaks alike.
    options: dict[str, Any] = {
        "socket_timeout": settings.timeout,
        "socket_connect_timeout": settings.timeout,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "encoding_errors": "replace",
    }
    scheme = url.partition(":")[0].lower()
    if scheme not in SCHEMES:
        shown = redact(url) if "://" in url else "redis.url"
        raise StoreError(
            f"{shown} is not a Redis URL we can use", hint=f"known schemes: {', '.join(SCHEMES)}"
        )
    try:
        if scheme == "redis+sentinel":
            return _through_sentinel(url, options)
        if scheme == "redis+cluster":
            return _through_cluster(url, options)
        client: redis.Redis = redis.Redis.from_url(url, **options)
        return client
    except _UrlError as error:
        raise StoreError(f"{redact(url)} is not a legal Redis URL: {error}") from None
    except (ValueError, TypeError):
        # Their words may quote any part of the URL, and what looks like a port may be a password's beginning.
        raise StoreError(
            f"{redact(url)} is not a legal Redis URL",
            hint="redis://[user:password@]host:port/database; write %2F for a slash in a password",
        ) from None


async def disconnect(client: redis.Redis) -> None:
    """Close every connection of a client that `connect` made, those to sentinels as well."""
    clients = [client]
    pool = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        clients += pool.sentinel_manager.sentinels
    for each in clients:
        with suppress(*UNREACHABLE):
            await each.aclose()


def reason(error: BaseException) -> str:
    """Why Redis could not be used, in one line without a password."""
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return "timeout"
    cause = error.__cause__ or error.__context__
    if isinstance(error, RedisConnectionError) and isinstance(cause, OSError) and cause.errno is not None:
        return os.strerror(cause.errno).lower()
    return redact(" ".join(str(error).split())) or type(error).__name__


def _through_sentinel(url: str, options: dict[str, Any]) -> redis.Redis:
    """Asks the sentinels for the master at every new connection, so that a failover is followed."""
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    sentinels = [_address(host, "a sentinel's", 26379) for host in hosts.split(",")]
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise _UrlError("the sentinels' service is missing: redis+sentinel://host:port,host:port/service")
    query = dict(parse_qsl(parts.query))
    sentinel_options = dict(options)
    if "sentinel_password" in query:
        sentinel_options["password"] = query["sentinel_password"]
        sentinel_options["username"] = query.get("sentinel_username")
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        [(address.host, address.port) for address in sentinels], sentinel_kwargs=sentinel_options, **options
    )
    login_options: dict[str, Any] = {"username": unquote(user) or None, "password": unquote(password) or None}
    master: redis.Redis = sentinel.master_for(service, db=int(database or 0), **login_options)
    return master


def _through_cluster(url: str, options: dict[str, Any]) -> redis.Redis:
    """Asks the nodes of a Cluster at every new connection which of them has our keys."""
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    seeds = [_address(host, "a node's", 6379) for host in hosts.split(",")]
    options = {**options, **parse_url(f"redis://{login}{at}cluster/?{parts.query}")}
    if parts.path.strip("/") not in ("", "0") or options.pop("db", 0):
        raise _UrlError("a Cluster has no databases: redis+cluster://host:port,host:port")
    del options["host"]
    pool = ConnectionPool(connection_class=OwnersConnection, **options)
    # By now without what is the pool's alone, such as the most connections.
    of_all = dict(pool.connection_kwargs)
    pool.connection_kwargs["nodes"] = Nodes(seeds, options["socket_connect_timeout"], of_all, reason)
    return redis.Redis.from_pool(pool)


def _address(text: str, whose: str, default_port: int) -> SocketAddress:
    match = re.fullmatch(r"\[(?P<v6>[^\]]+)\](?::(?P<p6>\d+))?|(?P<host>[^:\[\]]+)(?::(?P<port>\d+))?", text)
    if match is None:
        raise _UrlError(f"one of the hosts is not {whose} host:port")
    return SocketAddress(match["v6"] or match["host"], int(match["p6"] or match["port"] or default_port))
