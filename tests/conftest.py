"""Fixtures for all tests."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings
from redis_process import RedisServer

from gslb.demo.redis_server import find_server_binary

# No test measures time, and a busy machine is no fault of an example.
settings.register_profile(
    "suite", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def redis_process() -> Iterator[RedisServer]:
    # Not pytest's own temporary directory: the path of a Unix socket must stay under 108 bytes.
    directory = Path(tempfile.mkdtemp(prefix="gslb-redis-"))
    server = RedisServer(find_server_binary(), directory)
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def redis_server(redis_process: RedisServer) -> RedisServer:
    """The session's server: running and empty at the start of every test."""
    redis_process.reset()
    return redis_process


@pytest.fixture(scope="session", autouse=True)
def _caches_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Not those of the user who runs the tests; processes that tests start have it as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CACHE_DIRECTORY", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("STATE_DIRECTORY", str(tmp_path_factory.getbasetemp() / "state"))
        yield


_NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def _state_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the nodes of one test keep on disk, those of another must not take for what they knew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STATE_DIRECTORY", str(tmp_path_factory.getbasetemp() / f"state-{next(_NUMBERS)}"))
        yield


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Commands set logging up for their process, and would leave later tests a stream that is closed."""
    yield
    structlog.reset_defaults()
