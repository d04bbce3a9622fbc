"""What `gslb status` shows of a world, beside what older nodes tell of theirs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fleets import NOW, fleet, state, world
from rich.console import Console

from gslb.admin.documents import world_document
from gslb.cli.status import show_state
from gslb.world import Intake, Override, OverrideKind, Verdict, World

FLEET = fleet()
HOLD = Override(
    "", OverrideKind.HOLD, "ana", "", NOW, None, "www.shop.test", held=(("eu-west", Verdict.DOWN),)
)
INTAKE = Intake(0.25, 0.0, 0.5, "carries 95 % of what it can", NOW, 7)


def shown(document) -> str:
    console = Console(width=240, highlight=False)
    with console.capture() as capture:
        show_state({"source": "Redis", **document}, console, NOW)
    return capture.get()


def document(*states, **more) -> dict:
    return {**world_document(FLEET, world(*states)), **more}


def test_a_steady_world_is_a_table_and_who_observes_it():
    lines = shown(document()).splitlines()
    assert len(lines) == 5
    assert lines[-1].startswith("observers: none")


def test_words_on_a_service_everywhere_are_shown_once():
    states = [state(name, overrides={"www.shop.test": HOLD}) for name in FLEET.regions]
    text = shown(document(*states))
    assert text.count("www.shop.test everywhere: hold (eu-west DOWN) by ana since") == 1


def test_what_keeps_clients_away_is_shown():
    text = shown(
        document(
            state("us-east", intake=INTAKE),
            state("eu-west", thin=True, live=0.25),
            state("ap-southeast", without=frozenset({"web", "api"})),
        )
    )
    assert "us-east gives 25% away, takes 0% of others' clients, is back at 50%: carries 95 % of" in text
    assert "UP PART" in text
    assert "UP THIN" in text
    assert "no server for api, web" in text


def test_the_age_of_the_copy_on_disk_is_shown():
    assert "from the copy on disk, which is 90 s old" in shown(
        document(recalled_at="2027-01-15T07:58:30.000Z")
    )
    assert "copy on disk" not in shown(document(recalled_at=None))


def test_nodes_of_older_versions_tell_less():
    drained = state("eu-west", override=Override("eu-west", OverrideKind.DRAIN, "ana", "works", NOW))
    told = document(drained)
    for region in told["regions"]:
        for new in ("service_overrides", "without", "live", "thin", "intake"):
            del region[new]
        for new in ("region", "service", "weight", "held"):
            (region["override"] or {}).pop(new, None)
    assert "eu-west: drain by ana since 2027-01-15T08:00:00.000Z: works" in shown(told)


@pytest.mark.parametrize("weight", [0.0, 0.125, 1.0])
def test_weights_are_told_in_the_document(weight):
    word = Override("eu-west", OverrideKind.WEIGHT, "ana", "", NOW, None, "", weight)
    known: World = replace(world(), regions={**world().regions, "eu-west": state("eu-west", override=word)})
    (told,) = (each for each in world_document(FLEET, known)["regions"] if each["region"] == "eu-west")
    assert (told["override"]["weight"], told["eligible"]) == (weight, weight > 0)
    assert f"WEIGHT {weight:g}" in shown(world_document(FLEET, known))
