"""`gslb reload` and `gslb check --diff` beside a node that runs: what they print, and how they end."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from pathlib import Path

import pytest
import structlog
from test_commands import run
from typer.testing import CliRunner

from gslb.admin.listener import AdminServer
from gslb.admin.node_app import node_app
from gslb.cli import app
from gslb.clock import SystemClock
from gslb.config import load
from gslb.errors import ConfigError, GslbError
from gslb.node import DnsNode

FLEET = """
redis: {{}}
dns:
  watch: null
  initial_round: 1s
  nodes:
    ns1: {{listen: ["127.0.0.1:{dns}"], admin: "127.0.0.1:{admin}"}}
    ns2: {{listen: ["192.0.2.54:53"], admin: "127.0.0.1:1"}}
zones:
  shop.test:
    records: |
      $TTL 300
      @ SOA ns1 hostmaster 1 2 3 4 60
      @ NS ns1
      ns1 A 192.0.2.53
      mail A 192.0.2.25
regions:
  west: {{coordinates: [53.3, -6.3], edges: [{{addresses: [192.0.2.1], probe: "127.0.0.1:1"}}]}}
services:
  www.shop.test: {{policy: nearest}}
pools: {{}}
routes: []
"""


def free_port() -> int:
    with socket.socket() as tcp:
        tcp.bind(("127.0.0.1", 0))
        return tcp.getsockname()[1]


def written(directory: Path, *, dns: int = 5399, admin: int = 1) -> Path:
    file = directory / "regions.yaml"
    file.write_text(FLEET.format(dns=dns, admin=admin))
    return file


class Beside:
    """A node in a thread of its own, as commands block theirs."""

    def __init__(self, directory: Path) -> None:
        self.file = written(directory, dns=free_port(), admin=free_port())
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Beside:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        fleet = load(self.file)
        self.node = DnsNode(fleet, fleet.dns.nodes["ns1"], SystemClock())
        admin = AdminServer(node_app(self.node), self.node.node.admin)
        await admin.start()
        await self.node.start()
        self._ready.set()
        await self._stop.wait()
        await self.node.stop()
        await admin.stop()

    def edit(self, old: str, new: str) -> None:
        text = self.file.read_text()
        assert text.count(old) == 1
        self.file.write_text(text.replace(old, new))


def _say_nothing(*_: object) -> dict[str, object]:
    raise structlog.DropEvent


@pytest.fixture
def beside(tmp_path, monkeypatch):
    monkeypatch.setenv("GSLB_ADMIN_TOKEN", "sesame")
    # The node logs to where the command prints, as they are one process here.
    structlog.configure(processors=[_say_nothing])
    with Beside(tmp_path) as made:
        yield made


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_reload_tells_what_changed_and_who_did_not_answer(beside):
    beside.edit("mail A 192.0.2.25", "mail 60 A 192.0.2.26")
    result = invoke("reload", "--config", beside.file)
    assert result.exit_code == 0, (result.output, result.exception)
    assert result.stdout == ("ns1: taken up\n  ~ record mail.shop.test A: 300 192.0.2.25 → 60 192.0.2.26\n")
    assert result.stderr == "nobody answers for ns2 at 127.0.0.1:1\n"
    result = invoke("reload", "--config", beside.file, "--name", "ns1")
    assert (result.stdout, result.stderr) == ("ns1: nothing changed\n", "")


def test_a_reload_of_a_broken_file_asks_nobody_and_tells_every_problem(beside):
    beside.edit("mail A 192.0.2.25", "mail A 192.0.2.256")
    error = run("reload", "--config", str(beside.file), error=ConfigError)
    assert "192.0.2.256" in str(error)
    assert beside.node.configuration.refused == 0


def test_dropping_too_much_ends_with_3_unless_it_is_forced(beside):
    beside.edit("      mail A 192.0.2.25\n", "")
    beside.edit("      ns1 A 192.0.2.53\n", "      @ A 192.0.2.53\n")
    beside.edit("@ NS ns1", "@ NS ns.elsewhere.test.")
    result = invoke("check", beside.file, "--diff")
    assert result.exit_code == 3
    assert "- record mail.shop.test A: 300 192.0.2.25" in result.stdout
    assert "drops 2 of 4 names, more than a third" in result.stderr
    assert invoke("check", beside.file, "--diff", "--force").exit_code == 0
    result = invoke("reload", "--config", beside.file)
    assert result.exit_code == 3
    assert "ns1: refused, the old configuration serves on" in result.stderr
    assert "drops 2 of 4 names, more than a third (--force takes it up all the same)" in result.stderr
    result = invoke("reload", "--config", beside.file, "--force", "--json")
    assert result.exit_code == 0
    (document,) = json.loads(result.stdout)
    assert (document["node"], document["status"]) == ("ns1", "changed")
    assert invoke("check", beside.file, "--diff").stdout.endswith("nothing changes\n")


def test_what_only_the_node_finds_wrong_ends_with_2(beside, monkeypatch):
    def broken(self, before):
        raise GslbError("cannot listen on 127.0.0.1:53: Permission denied")

    monkeypatch.setattr(type(beside.node.configuration), "_read", broken)
    result = invoke("reload", "--config", beside.file)
    assert result.exit_code == 2
    assert "Permission denied" in result.stderr


def test_without_the_token_a_reload_says_what_to_do(beside, monkeypatch):
    monkeypatch.delenv("GSLB_ADMIN_TOKEN")
    error = run("reload", "--config", str(beside.file), error=GslbError)
    assert "needs a token" in str(error)
    assert "GSLB_ADMIN_TOKEN" in str(error)


def test_a_reload_that_reaches_nobody_says_so(tmp_path):
    file = written(tmp_path)
    error = run("reload", "--config", str(file), error=GslbError)
    assert "nobody answers for ns1 and ns2 at 127.0.0.1:1" in str(error)
    error = run("reload", "--config", str(file), "--name", "ns3", error=GslbError)
    assert "there is no DNS node 'ns3'" in str(error)
    file.write_text(file.read_text().replace('admin: "127.0.0.1:1"', "admin: null"))
    error = run("reload", "--config", str(file), error=GslbError)
    assert "no DNS node has an admin side" in str(error)
    assert "SIGHUP" in str(error)


def test_a_node_named_is_the_one_that_is_asked(beside):
    beside.edit('admin: "127.0.0.1:1"', f'admin: "{beside.node.node.admin}"')
    error = run("reload", "--config", str(beside.file), "--name", "ns2", error=GslbError)
    assert "this is the node 'ns1', not 'ns2'" in str(error)


def test_check_tells_what_differs_from_another_file(tmp_path):
    old, new = written(tmp_path), tmp_path / "new.yaml"
    text = old.read_text()
    new.write_text(text.replace("watch: null", "watch: 5s").replace("redis: {}", "redis: {poll: 2s}"))
    told = run("check", str(new), "--against", str(old))
    assert "~ setting dns.watch: none → 5\n" in told
    assert "~ setting redis.poll: 1 → 2 (needs a restart: redis)\n" in told
    document = json.loads(run("check", str(new), "--against", str(old), "--json"))
    assert document["errors"] == []
    assert document["difference"]["needs_restart"] == ["redis"]
    assert document["difference"]["too_much"] is None
    assert [change["name"] for change in document["difference"]["changes"]] == ["dns.watch", "redis.poll"]
    new.write_text(text.replace("zones", "zoness"))
    assert invoke("check", new, "--against", old).exit_code == 2


def test_check_with_nothing_to_compare_with_says_what_to_do(tmp_path):
    file = written(tmp_path)
    error = run("check", str(file), "--diff", error=GslbError)
    assert "answers on its admin side" in str(error)
    assert "--against" in str(error)
