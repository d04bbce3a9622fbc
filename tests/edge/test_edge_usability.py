"""Which servers get requests when checks, operators and requests themselves say different things of them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.usability import usable_servers
from gslb.fleet import ServerMode
from gslb.world import Verdict


@dataclass(frozen=True)
class Server:
    """What is known of one; without arguments nothing speaks against it."""

    verdict: Verdict = Verdict.UP
    mode: ServerMode = ServerMode.READY
    full_weight: int = 1
    backup: bool = False
    ejected: bool = False

    @property
    def ready(self) -> bool:
        return self.mode is ServerMode.READY and self.full_weight > 0

    @property
    def healthy(self) -> bool:
        return self.ready and self.verdict is not Verdict.DOWN

    @property
    def fit(self) -> bool:
        return self.healthy and not self.ejected


UP = Server()
UNKNOWN = Server(Verdict.UNKNOWN)
DOWN = Server(Verdict.DOWN)
EJECTED = Server(ejected=True)
EJECTED_DOWN = Server(Verdict.DOWN, ejected=True)
DRAINED = Server(mode=ServerMode.DRAIN)
MAINTAINED = Server(mode=ServerMode.MAINTENANCE)
WEIGHTLESS = Server(full_weight=0)
BACKUP = Server(backup=True)
BACKUP_DOWN = Server(Verdict.DOWN, backup=True)

POOLS = st.lists(
    st.builds(
        Server,
        st.sampled_from(Verdict),
        st.sampled_from(ServerMode),
        st.integers(0, 2),
        st.booleans(),
        st.booleans(),
    ),
    max_size=8,
)
THRESHOLDS = st.floats(0, 1)


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        ([], ""),
        ([UP, UNKNOWN, DOWN], "yes yes no"),
        ([DRAINED, MAINTAINED, WEIGHTLESS, UP], "no no no yes"),
        ([DRAINED, MAINTAINED, WEIGHTLESS], "no no no"),
        ([EJECTED, UP], "no yes"),
        ([EJECTED, UNKNOWN], "no yes"),
        # One that fails may be better than none.
        ([EJECTED, DOWN], "yes no"),
        ([EJECTED, EJECTED_DOWN], "yes no"),
        ([EJECTED, DRAINED], "yes no"),
        ([EJECTED_DOWN, DOWN], "no no"),
        # A backup is another.
        ([EJECTED, BACKUP], "no yes"),
        ([EJECTED, BACKUP_DOWN], "yes no"),
    ],
)
def test_without_panic(servers: list[Server], expected: str) -> None:
    usable, panics = usable_servers(servers, 0.0)
    assert (" ".join("yes" if may else "no" for may in usable), panics) == (expected, False)


@pytest.mark.parametrize(
    ("servers", "panic", "expected", "panics"),
    [
        # A threshold is what is still enough.
        ([UP, DOWN], 0.5, "yes no", False),
        ([UP, DOWN, DOWN], 0.5, "yes yes yes", True),
        ([DOWN, DOWN], 0.01, "yes yes", True),
        ([UP, UP], 1.0, "yes yes", False),
        ([UP, EJECTED], 1.0, "yes yes", True),
        # Operators' words and weights are no verdicts that might be wrong.
        ([DOWN, DRAINED, MAINTAINED, WEIGHTLESS], 0.5, "yes no no no", True),
        ([UP, DRAINED, MAINTAINED, WEIGHTLESS], 1.0, "yes no no no", False),
        ([DRAINED, MAINTAINED], 0.5, "no no", False),
        # Backups make the rest no larger and no smaller, and those that are DOWN stay out.
        ([UP, BACKUP_DOWN, BACKUP_DOWN], 0.5, "yes no no", False),
        ([DOWN, DOWN, BACKUP, BACKUP], 0.5, "yes yes yes yes", True),
        ([DOWN, BACKUP_DOWN], 0.5, "yes no", True),
        ([BACKUP_DOWN], 1.0, "no", False),
    ],
)
def test_panic(servers: list[Server], panic: float, expected: str, panics: bool) -> None:
    usable, said = usable_servers(servers, panic)
    assert (" ".join("yes" if may else "no" for may in usable), said) == (expected, panics)


@given(POOLS, THRESHOLDS)
def test_no_server_that_is_drained_maintained_or_without_weight_ever_gets_new_requests(
    servers: list[Server], panic: float
) -> None:
    usable, _ = usable_servers(servers, panic)
    assert len(usable) == len(servers)
    assert all(server.ready for server, may in zip(servers, usable, strict=True) if may)


@given(POOLS, THRESHOLDS)
def test_a_server_that_nothing_speaks_against_always_does(servers: list[Server], panic: float) -> None:
    usable, _ = usable_servers(servers, panic)
    assert all(may for server, may in zip(servers, usable, strict=True) if server.fit)


@given(POOLS)
@example([EJECTED, BACKUP_DOWN])
def test_without_panic_an_ejected_server_is_used_only_where_no_other_is_healthy(
    servers: list[Server],
) -> None:
    usable, panics = usable_servers(servers, 0.0)
    assert not panics
    used = [server for server, may in zip(servers, usable, strict=True) if may]
    assert all(server.healthy for server in used)
    if any(server.ejected for server in used):
        assert not any(server.fit for server in servers)
    assert bool(used) == any(server.healthy for server in servers)


@given(POOLS, THRESHOLDS)
@example([UP, DOWN, BACKUP], 0.5)
@example([EJECTED, DOWN], 0.5)
def test_panic_is_for_less_than_the_declared_share_of_normal_servers(
    servers: list[Server], panic: float
) -> None:
    calm, _ = usable_servers(servers, 0.0)
    usable, panics = usable_servers(servers, panic)
    normal = [index for index, server in enumerate(servers) if server.ready and not server.backup]
    few = bool(normal) and sum(calm[index] for index in normal) / len(normal) < panic
    assert panics == few
    if panics:
        assert all(usable[index] for index in normal)
    else:
        assert usable == calm


@given(POOLS, THRESHOLDS)
def test_backups_neither_cause_panic_nor_prevent_it(servers: list[Server], panic: float) -> None:
    # As long as none of them takes over for servers that are ejected.
    alone = [server for server in servers if not server.backup]
    if any(server.fit for server in alone) or not any(server.ejected for server in alone):
        assert usable_servers(servers, panic)[1] == usable_servers(alone, panic)[1]
