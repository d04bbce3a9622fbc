"""Where a node's copy of what is known lies: as the file says, or as the system provides it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fleet_file import broken, checked

from gslb.config.state_folder import state_folder


def test_a_folder_is_named_relative_to_the_file(tmp_path: Path) -> None:
    fleet = checked(tmp_path, broken("dns:\n", "dns:\n  state: known\n")).fleet
    assert fleet is not None
    assert fleet.dns.state == str(tmp_path / "known")


@pytest.mark.parametrize(
    ("state", "environment", "expected"),
    [
        (None, {"HOME": "/home/u"}, None),
        ("/srv/known", {"STATE_DIRECTORY": "/var/lib/x"}, "/srv/known"),
        ("auto", {"STATE_DIRECTORY": "/var/lib/x:/var/lib/y", "XDG_STATE_HOME": "/s"}, "/var/lib/x"),
        ("auto", {"XDG_STATE_HOME": "/s", "HOME": "/home/u"}, "/s/gslb"),
        ("auto", {"XDG_STATE_HOME": "relative", "HOME": "/home/u"}, "/home/u/.local/state/gslb"),
        ("auto", {"HOME": "/home/u"}, "/home/u/.local/state/gslb"),
        ("auto", {}, None),
    ],
)
def test_the_folder_is_the_one_that_the_system_provides(
    tmp_path: Path, state: str | None, environment: dict[str, str], expected: str | None
) -> None:
    found = state_folder(state, environment, system=tmp_path / "nothing")
    assert found == (Path(expected) if expected is not None else None)


def test_the_systems_own_folder_comes_before_the_users_unless_that_was_asked_for(tmp_path: Path) -> None:
    home = {"HOME": "/home/u"}
    assert state_folder("auto", home, system=tmp_path) == tmp_path
    assert state_folder("auto", {"XDG_STATE_HOME": "/s", **home}, system=tmp_path) == Path("/s/gslb")


def test_a_folder_that_others_write_to_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert state_folder("auto", {}, system=tmp_path) is None
