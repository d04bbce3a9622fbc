"""`gslb reload` and `gslb check --diff` beside a node that runs: what they print, and how they end."""

from __future__ import annotations

import asyncio
import http.server
import json
import threading
from pathlib import Path

import pytest
import structlog
from ports import free_port
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
    assert result.stderr == (
        "ns2: nobody answers at 127.0.0.1:1\nwest-1: not asked, having no admin side (SIGHUP does the same)\n"
    )
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
    assert "drops 2 of 3 names, more than a third" in result.stderr
    assert invoke("check", beside.file, "--diff", "--force").exit_code == 0
    result = invoke("reload", "--config", beside.file)
    assert result.exit_code == 3
    assert "ns1: refused, the old configuration serves on" in result.stderr
    assert "drops 2 of 3 names, more than a third (--force takes it up all the same)" in result.stderr
    result = invoke("reload", "--config", beside.file, "--force", "--json")
    assert result.exit_code == 0
    (document,) = json.loads(result.stdout)
    assert (document["node"], document["status"]) == ("ns1", "changed")
    assert invoke("check", beside.file, "--diff").stdout.endswith("nothing changes\n")


def test_what_only_the_node_finds_wrong_ends_with_2(beside, monkeypatch):
    def broken(self, *_):
        raise GslbError("cannot listen on 127.0.0.1:53: Permission denied")

    monkeypatch.setattr(type(beside.node.configuration), "_read", broken)
    result = invoke("reload", "--config", beside.file)
    assert result.exit_code == 2
    assert "Permission denied" in result.stderr


def test_a_node_that_fails_unexpectedly_says_so_under_its_name(beside, monkeypatch):
    def broken(self, *_):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(type(beside.node.configuration), "_read", broken)
    result = invoke("reload", "--config", beside.file)
    assert result.exit_code == 2
    assert "ns1: refused" in result.stderr
    assert "an error of ours (RuntimeError); the log has it" in result.stderr


def test_without_the_token_a_reload_says_what_to_do(beside, monkeypatch):
    monkeypatch.delenv("GSLB_ADMIN_TOKEN")
    result = invoke("reload", "--config", beside.file)
    assert result.exit_code == 1
    assert "ns1: changing state needs a token" in result.stderr
    assert "GSLB_ADMIN_TOKEN" in result.stderr
    assert "ns2: nobody answers at 127.0.0.1:1" in result.stderr


def test_a_token_that_no_header_can_carry_is_told_as_that(beside, monkeypatch):
    monkeypatch.setenv("GSLB_ADMIN_TOKEN", "ses\u00e4me")
    error = run("reload", "--config", str(beside.file), error=GslbError)
    assert "GSLB_ADMIN_TOKEN has a character that cannot be sent in a header" in str(error)
    monkeypatch.setenv("GSLB_ADMIN_TOKEN", " sesame\n")
    assert invoke("reload", "--config", beside.file).exit_code == 0, "blanks around it do not count"


NOTHING: dict[str, object] = {"lines": [], "warnings": [], "needs_restart": []}


class Answering:
    """An admin side that says the same to everybody; silence: it takes the request and says nothing."""

    def __init__(self, status: int, document: object, *, silence: bool = False) -> None:
        done = self._done = threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                if silence:
                    done.wait(30)
                    return
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Answering:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.mark.parametrize(
    ("status", "document", "said", "ends"),
    [
        (401, {"error": "changing state needs a token", "hint": "or else"}, "needs a token (or else)", 1),
        (500, {"error": "an error of ours; the log has it"}, "an error of ours; the log has it", 1),
        (
            409,
            {"status": "refused", "problems": ["no"], "too_much": None, **NOTHING},
            "  no\n",
            2,
        ),
        (200, {"status": "unchanged", **NOTHING}, "", 0),
    ],
)
def test_every_node_is_asked_whatever_the_first_says_and_the_worst_counts(
    beside, status, document, said, ends
):
    named = document if "error" in document else {"node": "ns0", **document}
    with Answering(status, named) as other:
        beside.edit("    ns1:", f'    ns0: {{listen: ["192.0.2.50:53"], admin: "{other.address}"}}\n    ns1:')
        result = invoke("reload", "--config", beside.file)
    assert result.exit_code == ends
    assert said in result.stderr
    assert "ns0" in result.output
    assert "ns1: taken up" in result.stdout
    assert "ns2: nobody answers" in result.stderr


def test_a_node_that_takes_too_long_is_not_taken_for_one_that_is_away(beside, monkeypatch):
    from gslb.cli import reload

    monkeypatch.setattr(reload, "PATIENCE", 0.2)
    with Answering(200, {}, silence=True) as other:
        beside.edit('admin: "127.0.0.1:1"', f'admin: "{other.address}"')
        result = invoke("reload", "--config", beside.file, "--name", "ns2", "--json")
    (document,) = json.loads(result.stdout)
    assert (document["node"], document["status"], result.exit_code) == ("ns2", "failed", 1)
    assert document["error"] == f"no answer from {other.address} within 0.2 s"


def test_a_node_that_another_answers_for_is_told_as_not_reached(beside):
    beside.edit('admin: "127.0.0.1:1"', f'admin: "{beside.node.node.admin}"')
    result = invoke("reload", "--config", beside.file)
    assert result.stdout.startswith("ns1: ")
    assert f"ns2: not reached, as ns1 answers at {beside.node.node.admin}" in result.stderr


def test_a_reload_that_reaches_nobody_says_so(tmp_path):
    file = written(tmp_path)
    error = run("reload", "--config", str(file), error=GslbError)
    assert "nobody answers for ns1 and ns2 at 127.0.0.1:1" in str(error)
    error = run("reload", "--config", str(file), "--name", "ns3", error=GslbError)
    assert "there is no DNS node or edge 'ns3'" in str(error)
    assert "nodes: ns1, ns2; edges: west-1" in str(error)
    error = run("reload", "--config", str(file), "--name", "west-1", error=GslbError)
    assert "west-1 has no admin side" in str(error)
    file.write_text(file.read_text().replace('admin: "127.0.0.1:1"', "admin: null"))
    error = run("reload", "--config", str(file), error=GslbError)
    assert "no DNS node and no edge has an admin side" in str(error)
    assert "SIGHUP" in str(error)


def test_a_node_named_is_the_one_that_is_asked(beside):
    beside.edit('admin: "127.0.0.1:1"', f'admin: "{beside.node.node.admin}"')
    result = invoke("reload", "--config", beside.file, "--name", "ns2")
    assert result.exit_code == 1
    assert "ns2: this is the node 'ns1', not 'ns2'" in result.stderr


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


def test_check_names_what_it_compares_with(beside):
    result = invoke("check", beside.file, "--diff")
    assert result.stdout.endswith("compared with what ns1 runs:\nnothing changes\n")
    document = json.loads(run("check", str(beside.file), "--diff", "--json"))
    assert document["difference"]["against"] == "what ns1 runs"


def test_a_zone_that_secondaries_keep_as_it_was_is_warned_of(beside):
    beside.edit("    records: |\n", "    transfers: [{network: 192.0.2.0/24}]\n    records: |\n")
    assert invoke("reload", "--config", beside.file).exit_code == 0
    beside.edit("mail A 192.0.2.25", "mail A 192.0.2.26")
    warning = "warning: the zone shop.test changes, but the serial in its SOA stays 1: "
    assert warning in invoke("check", beside.file, "--diff").stderr
    result = invoke("reload", "--config", beside.file)
    assert "ns1: taken up\n" in result.stdout
    assert f"  {warning}" in result.stderr


def test_check_with_nothing_to_compare_with_tells_what_it_found_and_what_to_do(tmp_path):
    file = written(tmp_path)
    result = invoke("check", file, "--diff")
    assert result.stdout == f"{file}: good: 1 region, 1 service, 1 zone, 0 pools, 0 routes\n"
    assert "only west serves it" in result.stderr
    assert isinstance(result.exception, GslbError)
    assert "answers on its admin side" in str(result.exception)
    assert "--against" in str(result.exception)
    result = invoke("check", file, "--diff", "--json")
    assert json.loads(result.stdout)["errors"] == []
    assert isinstance(result.exception, GslbError)
    result = invoke("check", file, "--against", tmp_path / "gone")
    assert result.stdout.startswith(f"{file}: good")
    assert isinstance(result.exception, ConfigError)
