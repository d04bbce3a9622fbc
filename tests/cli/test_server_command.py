"""`gslb server` as an operator uses it: what it says, what it refuses, and what is in Redis afterwards."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis_process import RedisServer
from typer.testing import CliRunner

from gslb.cli import app
from gslb.clock import SystemClock
from gslb.config import load
from gslb.errors import GslbError, StoreError
from gslb.fleet import Fleet, ServerMode
from gslb.server_change import ServerChange
from gslb.store.oneshot import read_servers
from gslb.store.state import StateStore
from gslb.world import Observation, Verdict

FLEET = """
redis: {{url: "{url}", timeout: 300ms}}
regions:
  eu-west:
    coordinates: [53.3, -6.3]
    edges: [{{name: e1, addresses: [192.0.2.1]}}, {{name: e2, addresses: [192.0.2.2]}}]
    servers:
      web: [10.0.0.7:9001, {{address: "10.0.0.8:9001", weight: 3, backup: true}}]
      pods: [{{dns: pods.internal, port: 80}}]
  asia:
    coordinates: [1.3, 103.8]
    edges: [{{addresses: [192.0.2.3]}}]
    servers: {{web: 10.1.0.7:9001}}
pools: {{web: {{}}, pods: {{}}}}
routes: [{{pool: web}}, {{path: /pods, pool: pods}}]
"""
A, B = "eu-west/web/10.0.0.7:9001", "eu-west/web/10.0.0.8:9001"


@pytest.fixture
def config(tmp_path: Path, redis_server: RedisServer) -> Path:
    file = tmp_path / "regions.yaml"
    file.write_text(FLEET.format(url=redis_server.url))
    return file


def run(config: Path, *arguments: str) -> str:
    result = CliRunner().invoke(app, ["server", *arguments, "--config", str(config)])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def refused(config: Path, *arguments: str) -> str:
    result = CliRunner().invoke(app, ["server", *arguments, "--config", str(config)])
    assert isinstance(result.exception, GslbError), result.output
    return str(result.exception)


def stands(config: Path) -> dict[str, ServerChange]:
    """What is in Redis, by server."""
    fleet = load(config)
    return {each.target: each for each in asyncio.run(read_servers(fleet, fleet.regions)).changes}


def observe(fleet: Fleet, edge: str, target: str, verdict: Verdict) -> None:
    async def tell() -> None:
        store = StateStore(fleet, edge, SystemClock())
        await store.start()
        store.observe(Observation(target, edge, verdict, "seen", SystemClock().now()))
        await store.stop()

    asyncio.run(tell())


def line(listed: str, beginning: str) -> list[str]:
    (found,) = [each for each in listed.splitlines() if each.startswith(beginning)]
    return found.split()


def test_the_list_shows_what_is_declared_observed_and_changed(config: Path) -> None:
    observe(load(config), "e1", A, Verdict.UP)
    observe(load(config), "e1", B, Verdict.UP)
    observe(load(config), "e2", B, Verdict.DOWN)
    run(config, "drain", B, "--for", "1h", "--reason", "new disks", "--by", "ana")
    run(config, "add", "eu-west/web/10.0.0.9:9001", "--weight", "4", "--by", "bo")
    run(config, "remove", "asia/web/10.1.0.7:9001", "--by", "bo", "--force")
    listed = run(config, "list")
    assert line(listed, A) == [A, "UP", "ready", "1"]
    assert line(listed, B)[:8] == [B, "UP", "(e1),", "DOWN", "(e2)", "drain", "3", "backup"]
    assert "by ana since" in " ".join(line(listed, B))
    assert line(listed, "eu-west/web/10.0.0.9")[1:8] == ["–", "ready", "4", "added,", "weight", "4", "by"]
    assert line(listed, "asia/web")[1:4] == ["–", "removed", "–"]
    assert "eu-west/pods/dns pods.internal:80" in listed
    assert "asia" not in run(config, "list", "eu-west")
    assert "web" not in run(config, "list", "eu-west/pods")


def test_words_on_a_server_add_up_until_they_are_taken_back(config: Path) -> None:
    assert run(config, "drain", A, "--by", "ana") == f"{A}: drain until `gslb server clear {A}`\n"
    assert run(config, "weight", A, "5").startswith(f"{A}: weight 5 until")
    assert (stands(config)[A].mode, stands(config)[A].weight) == (ServerMode.DRAIN, 5)
    assert run(config, "maintenance", A, "--for", "1h").startswith(f"{A}: maintenance until 20")
    assert stands(config)[A].until is not None
    assert run(config, "ready", A) == f"{A}: ready\n"
    assert (stands(config)[A].mode, stands(config)[A].until, stands(config)[A].weight) == (None, None, 5)
    assert run(config, "clear", A) == f"{A}: cleared\n"
    assert stands(config) == {}
    assert run(config, "clear", A) == f"{A}: nothing was changed\n"


def test_a_drain_with_an_end_says_what_follows(config: Path) -> None:
    assert run(config, "drain", A, "--for", "10m").endswith("Z, then maintenance\n")


def test_added_servers_go_and_removed_ones_come_back(config: Path) -> None:
    added = "eu-west/web/[2001:db8::1]:80"
    assert run(config, "add", added).startswith(f"{added}: added until")
    assert "is there already" in refused(config, "add", added)
    assert run(config, "remove", added) == f"{added}: cleared\n"
    assert stands(config) == {}
    run(config, "remove", A)
    assert "has no server 10.0.0.7:9001 in pool web (servers: 10.0.0.8:9001)" in refused(config, "drain", A)
    assert f"`gslb server clear {A}`" in refused(config, "add", A)
    run(config, "clear", A)
    run(config, "weight", A, "2")


def test_a_pool_keeps_a_ready_server_unless_it_is_insisted(config: Path) -> None:
    run(config, "drain", A)
    for command in ("drain", "maintenance", "remove"):
        said = refused(config, command, B)
        assert said.startswith("then eu-west has no server for pool web that is ready and not down")
    run(config, "add", "eu-west/web/10.0.0.9:9001")
    run(config, "drain", B)
    assert "no server for pool web" in refused(config, "clear", "eu-west/web/10.0.0.9:9001")
    run(config, "remove", "eu-west/web/10.0.0.9:9001", "--force")
    run(config, "ready", B)


def test_a_server_that_is_down_is_none_that_a_pool_could_rely_on(config: Path) -> None:
    observe(load(config), "e1", B, Verdict.DOWN)
    assert "ready and not down" in refused(config, "drain", A)
    observe(load(config), "e2", B, Verdict.UP)
    run(config, "drain", A)


def test_servers_that_edges_have_found_are_known_by_what_edges_observe(config: Path) -> None:
    pod = "eu-west/pods/10.2.0.1:80"
    assert "has no server 10.2.0.1:80 in pool pods (servers: none)" in refused(config, "drain", pod)
    observe(load(config), "e1", pod, Verdict.UP)
    run(config, "drain", pod)
    assert stands(config)[pod].mode is ServerMode.DRAIN
    assert line(run(config, "list", "eu-west/pods"), pod)[1:3] == ["UP", "drain"]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("web", "'web' is not a server (write it like eu-west/web/10.0.0.7:9001)"),
        ("eu/web/10.0.0.7:9001", "there is no region 'eu' (regions: eu-west, asia)"),
        ("eu-west/wbe/10.0.0.7:9001", "there is no pool 'wbe' (pools: web, pods)"),
        ("eu-west/web/10.0.0.7", "'10.0.0.7' has no port"),
        ("eu-west/web/10.0.0.1:1", "(servers: 10.0.0.7:9001, 10.0.0.8:9001)"),
    ],
)
def test_what_is_no_server_is_named_with_what_there_is(config: Path, target: str, said: str) -> None:
    assert said in refused(config, "drain", target)
    assert stands(config) == {}


def test_without_redis_there_is_one_clear_error(config: Path, redis_server: RedisServer) -> None:
    redis_server.kill()
    result = CliRunner().invoke(app, ["server", "drain", A, "--config", str(config)])
    assert isinstance(result.exception, StoreError)
    assert "is Redis running there" in str(result.exception)
