"""Logging tells what it can, and whatever becomes of its stream, it never raises."""

from __future__ import annotations

import errno
import io
import json

import pytest
import structlog

from gslb.log import LogLevel, configure_logging

LEVELS = ["debug", "info", "warning", "error", "critical", "exception"]


class Broken(io.StringIO):
    """A stream that fails like a full disk, or a pipe that nobody reads any more."""

    def __init__(self, error: Exception, *, only_flush: bool = False) -> None:
        super().__init__()
        self.error = error
        self.only_flush = only_flush
        self.attempts = 0

    def write(self, text: str) -> int:
        self.attempts += 1
        if not self.only_flush:
            raise self.error
        return super().write(text)

    def flush(self) -> None:
        raise self.error


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("only_flush", [False, True])
@pytest.mark.parametrize(
    "error", [BrokenPipeError(), OSError(errno.ENOSPC, "no space"), ValueError("closed file")], ids=repr
)
def test_a_stream_that_fails_ends_no_work(error: Exception, only_flush: bool, level: str) -> None:
    stream = Broken(error, only_flush=only_flush)
    configure_logging(level=LogLevel.DEBUG, stream=stream)
    getattr(structlog.get_logger(), level)("something happened", number=1)
    assert stream.attempts, "it was tried"


def test_a_closed_stream_ends_no_work() -> None:
    stream = io.StringIO()
    configure_logging(json=True, stream=stream)
    structlog.get_logger().info("before")
    assert "before" in stream.getvalue()
    stream.close()
    structlog.get_logger().info("after")


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_is_one_line_of_json(level: str) -> None:
    stream = io.StringIO()
    configure_logging(level=LogLevel.DEBUG, stream=stream)
    getattr(structlog.get_logger(), level)("something happened", number=1)
    (line,) = stream.getvalue().splitlines()
    told = json.loads(line)
    assert (told["event"], told["number"]) == ("something happened", 1)


def test_what_the_stream_cannot_spell_is_spelt_out() -> None:
    raw = io.BytesIO()
    configure_logging(json=True, stream=io.TextIOWrapper(raw, encoding="ascii"))
    structlog.get_logger().info("zürich \udcff")
    told = raw.getvalue()
    assert b"z\\xfcrich" in told
    assert told.endswith(b"\n")
