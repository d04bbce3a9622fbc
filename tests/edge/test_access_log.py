"""What the access log says of a request, that nobody can forge it, and what becomes of it on a full pipe."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from edge.access_lines import Entry, as_json, combined
from edge.access_log import AccessLog, open_access_log
from edge.log_sink import Sink
from gslb.clock import FakeClock
from gslb.errors import GslbError
from gslb.fleet_edge import AccessLog as Settings
from gslb.fleet_edge import AccessLogFormat

ENTRY = Entry(
    client="203.0.113.9",
    user=None,
    moment=1_795_369_530.25,
    method=b"GET",
    target=b"/shop?page=3",
    minor=1,
    status=200,
    sent=5120,
    referer=b"https://www.example.com/",
    agent=b"curl/8.5.0",
    request_id=b"6f1d0c2a9b8e47f3",
    host=b"www.example.com",
    region="eu-west",
    edge="edge-1",
    pool="web",
    server="10.0.0.1:8080",
    tries=1,
    first_byte=0.0125,
    total=0.5,
    received=17,
    tls="1.3",
    ended="complete",
)
COMBINED_LINE = re.compile(
    rb"(?P<client>[^ ]+) - (?P<user>[^ ]+) \[(?P<time>[^\]]+)\] "
    rb'"(?P<method>(?:[^ "\\]|\\.)+) (?P<target>(?:[^ "\\]|\\.)*) HTTP/1\.(?P<minor>\d)" '
    rb"(?P<status>\d+) (?P<sent>\d+|-) "
    rb'"(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)"\n'
)
C_ESCAPES = {b"b": b"\b", b"t": b"\t", b"n": b"\n", b"v": b"\v", b"r": b"\r", b'"': b'"', b"\\": b"\\"}


def unescape(value: bytes) -> bytes:
    def one(found: re.Match[bytes]) -> bytes:
        escape = found[1]
        return bytes.fromhex(escape[1:].decode()) if escape[:1] == b"x" else C_ESCAPES[escape]

    return re.sub(rb"\\(x[0-9a-f]{2}|.)", one, value)


anything = st.binary(max_size=60) | st.text('"\\\n\r [] -{},:é\u2028', max_size=20).map(str.encode)
entries = st.builds(
    ENTRY._replace,
    client=st.ip_addresses().map(str) | st.text(min_size=1, max_size=20),
    user=st.none() | anything,
    moment=st.integers(0, 4_000_000_000_000).map(lambda thousandths: thousandths / 1000),
    method=anything.filter(bool),
    target=anything,
    minor=st.integers(0, 1),
    status=st.integers(100, 599),
    sent=st.integers(0, 2**63),
    referer=st.none() | anything,
    agent=st.none() | anything,
    request_id=anything,
    host=st.none() | anything,
    region=st.text(max_size=20),
    server=st.just("-") | st.text(max_size=20),
    tries=st.integers(0, 9),
    first_byte=st.none() | st.integers(0, 10**9).map(lambda millionths: millionths / 1e6),
    received=st.integers(0, 2**63),
    ended=st.sampled_from(("complete", "client", "server", "refused")),
)


def text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")


# What a line says.


def test_a_combined_line_is_what_apache_would_write():
    assert combined(ENTRY) == (
        b'203.0.113.9 - - [22/Nov/2026:17:45:30 +0000] "GET /shop?page=3 HTTP/1.1" 200 5120 '
        b'"https://www.example.com/" "curl/8.5.0"\n'
    )


def test_what_is_missing_is_a_hyphen_in_a_combined_line():
    line = combined(ENTRY._replace(sent=0, referer=None, agent=None, method=b"", target=b"", status=400))
    assert line == b'203.0.113.9 - - [22/Nov/2026:17:45:30 +0000] "-" 400 - "-" "-"\n'


def test_strange_bytes_are_escaped_as_apache_escapes_them():
    line = combined(ENTRY._replace(user=b"a b", agent=b'say "\\hi"\n\r\t\v\b\x00\x7f\xc3'))
    assert line.endswith(b' "say \\"\\\\hi\\"\\n\\r\\t\\v\\b\\x00\\x7f\\xc3"\n')
    assert b" - a\\x20b [" in line


def test_a_json_line_has_all_keys_in_one_order():
    expected = {
        "time": "2026-11-22T17:45:30.250Z",
        "client": "203.0.113.9",
        "user": None,
        "method": "GET",
        "host": "www.example.com",
        "target": "/shop?page=3",
        "protocol": "HTTP/1.1",
        "status": 200,
        "sent": 5120,
        "received": 17,
        "referer": "https://www.example.com/",
        "user_agent": "curl/8.5.0",
        "request_id": "6f1d0c2a9b8e47f3",
        "tries": 1,
        "first_byte": 0.0125,
        "total": 0.5,
        "region": "eu-west",
        "edge": "edge-1",
        "pool": "web",
        "server": "10.0.0.1:8080",
        "tls": "1.3",
        "ended": "complete",
    }
    assert list(json.loads(as_json(ENTRY)).items()) == list(expected.items())
    nothing = ENTRY._replace(
        host=None, referer=None, agent=None, first_byte=None, pool="-", server="-", tls="-"
    )
    absent = {"host", "referer", "user_agent", "first_byte", "pool", "server", "tls"}
    sparse = {key: None if key in absent else value for key, value in expected.items()}
    assert list(json.loads(as_json(nothing)).items()) == list(sparse.items())


@given(st.lists(entries, max_size=4))
def test_no_request_can_split_or_forge_a_combined_line(several):
    written = b"".join(map(combined, several))
    lines = written.splitlines(keepends=True)
    assert len(lines) == len(several)
    for line, entry in zip(lines, several, strict=True):
        found = COMBINED_LINE.fullmatch(line)
        assert found, line
        said = {name: unescape(value) for name, value in found.groupdict().items()}
        assert said["client"] == entry.client.encode("utf-8", "backslashreplace")
        assert said["user"] == (entry.user or b"-")
        assert said["method"] == entry.method
        assert said["target"] == entry.target
        assert (int(said["minor"]), int(said["status"])) == (entry.minor, entry.status)
        assert said["sent"] == (b"%d" % entry.sent if entry.sent else b"-")
        assert said["referer"] == (b"-" if entry.referer is None else entry.referer)
        assert said["agent"] == (b"-" if entry.agent is None else entry.agent)
        when = datetime.strptime(said["time"].decode(), "%d/%b/%Y:%H:%M:%S %z")
        assert when.timestamp() == int(entry.moment)


@given(st.lists(entries, max_size=4))
def test_no_request_can_split_or_forge_a_json_line(several):
    written = b"".join(map(as_json, several))
    # In every way that a reader may break lines, Unicode's included.
    assert len(written.decode("ascii").splitlines()) == len(several)
    keys = list(json.loads(as_json(ENTRY)))
    for line, entry in zip(written.splitlines(), several, strict=True):
        said = json.loads(line)
        assert list(said) == keys
        for key, value in (
            ("user", entry.user),
            ("method", entry.method),
            ("target", entry.target),
            ("host", entry.host),
            ("referer", entry.referer),
            ("user_agent", entry.agent),
            ("request_id", entry.request_id),
        ):
            assert said[key] == text(value), key
        assert said["region"] == (None if entry.region == "-" else entry.region)
        assert said["server"] == (None if entry.server == "-" else entry.server)
        assert (said["status"], said["sent"], said["received"]) == (entry.status, entry.sent, entry.received)
        assert said["first_byte"] == entry.first_byte
        assert abs(datetime.fromisoformat(said["time"]).timestamp() - entry.moment) < 0.0011


# Where lines go.


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def combined_log(file: Path | str | None, clock: FakeClock) -> AccessLog:
    return AccessLog(Settings(AccessLogFormat.COMBINED, None if file is None else str(file)), clock)


def numbered(number: int, agent: bytes = b"x" * 100) -> Entry:
    return ENTRY._replace(target=b"/%d" % number, agent=agent)


def targets(written: bytes) -> list[int]:
    found = [COMBINED_LINE.fullmatch(line) for line in written.splitlines(keepends=True)]
    assert all(found), "a line is not whole"
    return [int(each["target"][1:]) for each in found if each]


def test_no_log_is_made_of_a_format_that_is_off(clock):
    assert open_access_log(Settings(), clock) is None


def test_lines_wait_for_the_tick(tmp_path, clock):
    file = tmp_path / "access.log"
    log = combined_log(file, clock)
    log.write(numbered(1))
    assert file.read_bytes() == b""
    log.flush()
    assert targets(file.read_bytes()) == [1]
    log.close()


def test_lines_leave_before_the_tick_once_64_kib_have_gathered(tmp_path, clock):
    file = tmp_path / "access.log"
    log = combined_log(file, clock)
    for number in range(400):
        log.write(numbered(number))
    assert len(file.read_bytes()) >= 64 * 1024
    log.close()
    assert targets(file.read_bytes()) == list(range(400))


def test_a_log_goes_on_where_the_last_one_ended(tmp_path, clock):
    file = tmp_path / "access.log"
    for number in (1, 2):
        log = combined_log(file, clock)
        log.write(numbered(number))
        log.close()
    assert targets(file.read_bytes()) == [1, 2]
    assert file.stat().st_mode & 0o777 == 0o640 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def test_a_moved_file_is_followed_by_a_new_one(tmp_path, clock):
    file, moved = tmp_path / "access.log", tmp_path / "access.log.1"
    log = combined_log(file, clock)
    log.write(numbered(1))
    file.rename(moved)
    log.write(numbered(2))
    log.reopen()
    log.write(numbered(3))
    log.close()
    assert targets(moved.read_bytes()) == [1, 2]
    assert targets(file.read_bytes()) == [3]


def test_a_file_that_cannot_be_reopened_leaves_the_old_one_in_use(tmp_path, clock):
    folder = tmp_path / "logs"
    folder.mkdir()
    log = combined_log(folder / "access.log", clock)
    moved = folder.rename(tmp_path / "moved")
    with capture_logs() as said:
        log.reopen()
    log.write(numbered(1))
    log.close()
    assert targets((moved / "access.log").read_bytes()) == [1]
    assert said[0]["event"] == "access log not reopened"
    assert "create its folder first" in said[0]["reason"]


@pytest.mark.parametrize(
    ("file", "remedy"), [("missing/access.log", "create its folder"), (".", "name a file"), ("a\0b", "name")]
)
def test_a_file_that_cannot_be_opened_is_one_error_with_its_remedy(tmp_path, clock, file, remedy):
    with pytest.raises(GslbError, match=remedy) as raised:
        combined_log(f"{tmp_path}/{file}", clock)
    assert "cannot write the access log to" in raised.value.message


def test_a_pipe_that_nobody_reads_is_refused_at_start(tmp_path, clock):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(GslbError, match="start the program that reads this pipe first"):
        combined_log(tmp_path / "pipe", clock)


@pytest.fixture
def pipe(tmp_path):
    """A named pipe with room for 64 KiB, and its reading end."""
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, 65536)
    yield tmp_path / "pipe", reading
    os.close(reading)


def drain(reading: int) -> bytes:
    data = b""
    with suppress(BlockingIOError):
        while more := os.read(reading, 1 << 20):
            data += more
    return data


def test_a_slow_reader_gets_everything_that_waited_within_the_bound(pipe, clock):
    file, reading = pipe
    log = combined_log(file, clock)
    for number in range(3000):
        log.write(numbered(number))
    written = b""
    while log.flush() or (more := drain(reading)):
        written += more
    assert targets(written) == list(range(3000))
    assert log.dropped == 0
    log.close()


def test_what_is_too_much_for_a_slow_reader_is_dropped_counted_and_told_once_a_minute(pipe, clock):
    file, reading = pipe
    log = combined_log(file, clock)
    with capture_logs() as said:
        for number in range(20000):
            log.write(numbered(number))
            if number % 1000 == 0:
                log.flush()
        clock.advance(61)
        log.flush()
    written = b""
    while log.flush() or (more := drain(reading)):
        written += more
    log.write(numbered(20000))
    log.close()
    written += drain(reading)
    assert log.dropped > 10000
    seen = targets(written)
    assert seen == [*range(20000 - log.dropped), 20000]
    assert [each["event"] for each in said] == ["access log lines dropped"] * 2
    assert sum(each["lines"] for each in said) == log.dropped


def test_a_line_longer_than_a_pipe_takes_at_once_is_finished_before_another_begins(pipe, clock):
    file, reading = pipe
    log = combined_log(file, clock)
    long = b"y" * 30000
    for number in range(5):
        log.write(numbered(number, long))
    written = b""
    while log.flush() or (more := drain(reading)):
        written += more
    assert targets(written) == list(range(5))
    log.close()


def test_a_reader_that_went_away_costs_lines_and_nothing_else(tmp_path, clock):
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    log = combined_log(tmp_path / "pipe", clock)
    os.close(reading)
    for number in range(2):
        log.write(numbered(number))
    with capture_logs() as said:
        log.flush()
        log.write(numbered(2))
        log.close()
    assert log.dropped == 3
    assert [each["reason"] for each in said] == ["Broken pipe"] * 2


def test_a_full_disk_costs_lines_and_the_next_line_after_it_is_whole(tmp_path, clock, monkeypatch):
    file = tmp_path / "access.log"
    log = combined_log(file, clock)
    room = [100]

    def write(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken, room[0] = data[: room[0]], 0
        with file.open("ab") as out:
            return out.write(taken)

    with monkeypatch.context() as patch, capture_logs() as said:
        patch.setattr("edge.log_sink.os.write", write)
        for number in range(3):
            log.write(numbered(number))
        log.flush()
        log.flush()
        log.write(numbered(3))
        log.flush()
    assert log.dropped == 3
    assert said[0]["reason"] == "No space left on device"
    log.write(numbered(4))
    log.close()
    assert targets(file.read_bytes()) == [0, 4]


def test_a_log_cut_in_the_middle_of_a_line_starts_a_new_file_with_a_whole_one(pipe, tmp_path, clock):
    file, reading = pipe
    log = combined_log(file, clock)
    log.write(numbered(1, b"y" * 100_000))
    log.flush()
    file.unlink()
    log.write(numbered(2))
    log.reopen()
    log.close()
    assert targets((tmp_path / "pipe").read_bytes()) == [2]
    assert log.dropped == 1
    assert COMBINED_LINE.fullmatch(drain(reading)) is None


def test_the_standard_output_stays_as_the_others_who_have_it_know_it():
    code = (
        "import os\n"
        "from edge.access_log import AccessLog\n"
        "from gslb.clock import SystemClock\n"
        "from gslb.fleet_edge import AccessLog as Settings, AccessLogFormat\n"
        "from test_access_log import ENTRY\n"
        "log = AccessLog(Settings(AccessLogFormat.JSON), SystemClock())\n"
        "log.write(ENTRY)\n"
        "log.reopen()\n"
        "log.close()\n"
        "assert os.get_blocking(1)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(("", str(Path(__file__).parent), *sys.path))},
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["target"] == "/shop?page=3"


def test_a_closed_standard_output_is_one_error_with_its_remedy(clock, monkeypatch):
    monkeypatch.setattr("edge.log_sink._STANDARD_OUTPUT", 9999)
    with pytest.raises(GslbError, match="start the edge with an open standard output"):
        combined_log(None, clock)


def test_a_blocking_descriptor_is_asked_before_each_piece():
    reading, writing = os.pipe()
    try:
        os.set_blocking(reading, False)
        sink = Sink(os.dup(writing), "a pipe")
        lines = b"".join(b"%099d\n" % number for number in range(10_000))
        taken, error = sink.write(lines)
        assert error is None
        assert 0 < taken < len(lines)
        assert drain(reading) == lines[:taken]
        assert taken % 100 == 0
        sink.close()
    finally:
        os.close(reading)
        os.close(writing)


def test_the_moment_is_told_in_utc():
    when = datetime.fromtimestamp(ENTRY.moment, UTC)
    assert json.loads(as_json(ENTRY))["time"] == when.isoformat(timespec="milliseconds")[:-6] + "Z"
