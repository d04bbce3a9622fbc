"""The commands as a user runs them: output, exit status, and one clear error each."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gslb import __version__
from gslb.cli import app, main
from gslb.errors import GslbError, StoreError

ROOT = Path(__file__).resolve().parents[2]

FLEET = """
redis: {{url: "{url}", timeout: 300ms}}
dns: {{nodes: {{ns1: {{listen: ["127.0.0.1:5399"], admin: "127.0.0.1:1"}}}}}}
zones:
  shop.test:
    records: |
      @ 300 SOA ns1 hostmaster 1 2 3 4 60
      @ 300 NS ns1
      ns1 300 A 192.0.2.53
regions:
  west: {{coordinates: [53.3, -6.3], edges: [{{addresses: [192.0.2.1]}}]}}
  asia: {{coordinates: [1.3, 103.8], edges: [{{addresses: [192.0.2.2]}}]}}
services:
  www.shop.test: {{policy: nearest}}
pools: {{}}
routes: []
"""


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "regions.yaml"
    file.write_text(FLEET.format(url="redis://127.0.0.1:1/0"))
    return str(file)


@pytest.fixture
def shared(tmp_path, redis_server):
    file = tmp_path / "regions.yaml"
    file.write_text(FLEET.format(url=redis_server.url))
    return str(file)


def run(*arguments, error=None):
    result = CliRunner().invoke(app, arguments)
    if error is not None:
        assert isinstance(result.exception, error), result.output
        return result.exception
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def test_the_version_and_the_help():
    assert run("--version") == f"gslb {__version__}\n"
    text = run("--help")
    for command in ("demo", "dns", "check", "reload", "explain", "status", "history", "wait", "geo"):
        assert command in text
    for command in ("drain", "force", "weight", "hold", "clear"):
        assert command in text


def test_check_approves_of_the_reference_file(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert "regions.yaml: good: 3 regions, 4 services, 1 zone, 4 pools, 6 routes" in run("check")


def test_check_tells_every_error_and_exits_with_2(tmp_path):
    file = tmp_path / "regions.yaml"
    text = FLEET.format(url="redis://127.0.0.1:1/0").replace("policy: nearest", "policy: nearst")
    file.write_text(text.replace("edges: [{addresses: [192.0.2.2]}]", "egdes: []"))
    result = CliRunner().invoke(app, ["check", str(file)])
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert any("did you mean 'nearest'" in line and f"{file}:14:" in line for line in lines)
    assert any("egdes" in line and "did you mean 'edges'" in line for line in lines)
    document = json.loads(CliRunner().invoke(app, ["check", str(file), "--json"]).stdout)
    assert len(document["errors"]) >= 2
    assert document["errors"][0]["line"] > 0


def test_a_broken_file_starts_nothing_and_exits_with_2(tmp_path, monkeypatch, capsys):
    file = tmp_path / "regions.yaml"
    file.write_text("regions: 7\n")
    monkeypatch.setattr("sys.argv", ["gslb", "dns", "--config", str(file)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert f"{file}:1:" in capsys.readouterr().err


def test_an_error_is_one_line_and_exit_status_1(config, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["gslb", "drain", "nowhere", "--config", config])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "gslb: there is no region 'nowhere' (regions: west, asia)\n"


def test_explain_computes_when_no_node_runs(config):
    text = run("explain", "www.shop.test", "--from", "126.0.0.1", "--config", config)
    assert "1. asia is nearest (" in text
    assert "the file alone, nothing observed" in text
    document = json.loads(
        run("explain", "www.shop.test", "--from", "126.0.0.1", "--config", config, "--json", "--offline")
    )
    assert document["decision"]["chosen"] == "asia"
    assert document["decision"]["ttl"] == 5, "nothing observed: it may change at once"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("www.shop.test", "--from", "nobody"), "'nobody' is not an IP address"),
        (
            ("www..test", "--from", "10.0.0.1"),
            "'www..test' is not a domain name: the name has an empty label",
        ),
        (("www.shop.test", "--from", "10.0.0.1", "--type", "NONE"), "'NONE' is not a record type"),
    ],
)
def test_explain_says_what_it_cannot_be_asked(config, arguments, said):
    assert said in str(run("explain", *arguments, "--config", config, error=GslbError))


def test_overrides_are_set_shown_and_cleared(shared):
    said = run("drain", "west", "--for", "1h30m", "--reason", "works", "--by", "ana", "--config", shared)
    assert said.startswith("west: drain until 20")
    state = json.loads(run("status", "--config", shared, "--json"))
    assert state["source"] == "Redis"
    (west,) = (region for region in state["regions"] if region["region"] == "west")
    assert (west["override"]["kind"], west["override"]["by"], west["eligible"]) == ("drain", "ana", False)
    shown = run("status", "--config", shared)
    assert "UNKNOWN DRAIN" in shown
    assert "west: drain by ana since" in shown
    assert shown.rstrip().splitlines()[-1].startswith("observers: none")
    explained = run("explain", "www.shop.test", "--from", "81.2.69.1", "--config", shared)
    assert "west skipped: drained by ana until" in explained
    assert "what stands in Redis" in explained
    assert run("clear", "west", "--config", shared) == "west: cleared\n"
    assert run("clear", "west", "--config", shared) == "west: there was no override\n"


def test_regions_are_forced_up_and_down(shared):
    assert "forced down until `gslb clear west`" in run("force", "west", "down", "--config", shared)
    state = json.loads(run("status", "--config", shared, "--json"))
    assert [region["eligible"] for region in state["regions"]] == [False, True]
    run("force", "west", "up", "--config", shared)
    state = json.loads(run("status", "--config", shared, "--json"))
    assert [region["eligible"] for region in state["regions"]] == [True, True]
    (west, _) = state["regions"]
    assert (west["live"], west["thin"], west["without"], west["intake"]["whole"]) == (1.0, False, [], True)


@pytest.mark.parametrize("length", ["soon", "0s", "-5m", ""])
def test_a_length_of_time_must_be_one(config, length):
    run("drain", "west", f"--for={length}", "--config", config, error=GslbError)


def test_somebody_else_at_the_admin_address_is_passed_over(tmp_path, config):
    with socket.socket() as impostor:
        impostor.bind(("127.0.0.1", 0))
        impostor.listen()
        port = impostor.getsockname()[1]

        def speak() -> None:
            connection, _ = impostor.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 mail.example ESMTP\r\n")

        threading.Thread(target=speak, daemon=True).start()
        file = Path(config)
        file.write_text(file.read_text().replace('admin: "127.0.0.1:1"', f'admin: "127.0.0.1:{port}"'))
        text = run("explain", "www.shop.test", "--from", "126.0.0.1", "--config", config)
    assert "the file alone" in text


def test_a_log_level_must_be_one(config):
    result = CliRunner().invoke(app, ["dns", "--config", config, "--log-level", "loud"])
    assert result.exit_code == 2
    assert "'loud' is not one of" in result.stderr


def test_without_redis_and_nodes_commands_say_so(config):
    for arguments in (("status",), ("drain", "west"), ("clear", "west"), ("history",)):
        error = run(*arguments, "--config", config, error=StoreError)
        assert "127.0.0.1:1" in str(error)
