"""`gslb simulate pool` as a user runs it: what it prints, draws, and says of mistakes."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gslb.cli import app
from gslb.cli import simulate as simulate_group
from gslb.errors import GslbError

ROOT = Path(__file__).resolve().parents[3]
FEW = ("--requests", "500")


def run(*arguments, error=None):
    result = CliRunner().invoke(app, ["simulate", "pool", *arguments])
    if error is not None:
        assert isinstance(result.exception, error), result.output
        return str(result.exception)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def test_the_command_is_found_where_gslb_knows_nothing_of_it():
    assert "pool" in CliRunner().invoke(app, ["simulate", "--help"]).stdout


def test_a_simulation_of_nobody_is_no_command(monkeypatch):
    monkeypatch.setattr(simulate_group, "entry_points", lambda group: ())
    result = CliRunner().invoke(app, ["simulate", "pool"])
    assert result.exit_code == 2
    assert "No such command" in result.output


def test_other_commands_do_not_fail_with_one_that_cannot_be_loaded(monkeypatch):
    broken = EntryPoint("simulate.broken", "no_such_module:command", simulate_group.GROUP)
    monkeypatch.setattr(simulate_group, "entry_points", lambda group: (broken,))
    assert CliRunner().invoke(app, ["--help"]).exit_code == 0
    assert CliRunner().invoke(app, ["check", "--help"]).exit_code == 0


def test_every_method_has_its_row():
    from edge.simulate.choices import CHOICES

    lines = run(*FEW).splitlines()
    assert "500 requests of 10000 clients to 10 servers" in lines[0]
    assert [line.split()[0] for line in lines if line.split()[0] in CHOICES] == list(CHOICES)


def test_what_the_ill_servers_got_is_told_if_there_are_any():
    assert "ill%" in run(*FEW, "--slow", "1", "-m", "random")
    assert "ill%" not in run(*FEW, "-m", "random")


def test_json_tells_each_server():
    document = json.loads(run(*FEW, "-m", "round_robin", "--servers", "5", "--json"))
    outcome = document["round_robin"]
    assert [server["requests"] for server in outcome["servers"]] == [100] * 5
    assert outcome["p50"] <= outcome["p99"] <= outcome["max"]


def test_a_pool_of_a_fleets_file_brings_its_method_and_its_weights():
    arguments = ("--config", str(ROOT / "regions.yaml"), "--pool", "media", "--json", *FEW)
    document = json.loads(run(*arguments, "-m", "round_robin"))
    assert list(document) == ["weighted_round_robin of media", "round_robin"]
    servers = document["weighted_round_robin of media"]["servers"]
    assert [server["name"] for server in servers] == [f"127.0.10.1{number}:9002" for number in (1, 2, 3)]
    assert [server["requests"] for server in servers] == [250, 167, 83]
    asia = json.loads(run(*arguments, "--region", "ap-southeast"))
    assert asia["weighted_round_robin of media"]["servers"][0]["name"] == "127.0.30.11:9002"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("-m", "best"), "there is no method 'best' to simulate (choose from round_robin, "),
        (("--slow", "6", "--failing", "5"), "6 slow, 5 failing and 0 leaving are more than 10 servers"),
        (("--leaving", "10"), "if all servers leave, there is nothing to balance"),
        (("--failing", "10"), "no server of the pool can answer anything (let fewer fail)"),
        (("--pool", "web"), "a pool or a region is named, but no file (add --config FILE)"),
        (("--config", "regions.yaml"), "which pool of regions.yaml? (add --pool NAME)"),
        (("--config", "regions.yaml", "--pool", "wbe"), "regions.yaml has no pool 'wbe' (it has web, "),
        (
            ("--config", "regions.yaml", "--pool", "web", "--region", "mars"),
            "regions.yaml has no region 'mars' (it has us-east, ",
        ),
        (("--picture", "load.jpg"), "load.jpg is not a kind of picture that can be drawn"),
        (("--picture", "no/such/folder.svg"), "no/such/folder.svg cannot be written: No such file or dir"),
    ],
)
def test_a_mistake_is_one_clear_error(monkeypatch, arguments, text):
    monkeypatch.chdir(ROOT)
    assert text in run(*FEW, *arguments, error=GslbError)


@pytest.mark.parametrize("kind", ["svg", "png"])
@pytest.mark.parametrize("ill", [(), ("--failing", "1")])
def test_pictures_are_small_and_the_same_load_draws_the_same_bytes(tmp_path, kind, ill):
    pytest.importorskip("matplotlib")
    files = [tmp_path / f"{name}.{kind}" for name in ("one", "other")]
    for file in files:
        run(*FEW, *ill, "--picture", str(file))
    one, other = (file.read_bytes() for file in files)
    assert one == other
    assert one.startswith(b"<?xml" if kind == "svg" else b"\x89PNG")
    assert len(one) < 40_000


def test_without_the_means_to_draw_the_extra_is_named_before_anything_is_simulated(monkeypatch, tmp_path):
    from edge.simulate import picture

    monkeypatch.setattr(picture, "find_spec", lambda name: None)
    monkeypatch.setattr("edge.simulate.load.course", pytest.fail)
    text = run("--picture", str(tmp_path / "load.svg"), error=GslbError)
    assert text == "drawing pictures needs matplotlib (install the extra: pip install 'gslb[pictures]')"
