"""The demo world as a user runs it: real processes, found through the ready file, and gone afterwards."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import dns.edns
import dns.message
import dns.query
import pytest
import redis

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 90.0

pytestmark = pytest.mark.demo


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(0.05)
    raise AssertionError(f"waited in vain: {what}")


def alive(pid):
    """Whether a process runs; a zombie that nobody has waited for does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        if Path("/proc").is_dir():
            return False
        return subprocess.run(["ps", "-p", str(pid)], capture_output=True, check=False).returncode == 0
    return status.rpartition(")")[2].split()[0] != "Z"


class Demo:
    """A running demo and its ready file."""

    def __init__(self, process, ready):
        self.process = process
        self.ready = json.loads(ready.read_text())

    @property
    def pids(self):
        parts = [self.ready["redis"]]
        for kind in ("nodes", "edges", "servers"):
            parts += self.ready[kind]
        return [part["pid"] for part in parts]

    def address(self, subnet, name="www.shop.example"):
        host, _, port = self.ready["dns"].rpartition(":")
        query = dns.message.make_query(name, "A")
        query.use_edns(options=[dns.edns.ECSOption(subnet, 24)])
        return str(dns.query.udp(query, host, port=int(port), timeout=5).answer[0][0])


@contextmanager
def running(tmp_path, *, end=signal.SIGTERM):
    ready = tmp_path / "ready.json"
    command = [sys.executable, "-m", "gslb", "demo", "--ready-file", str(ready)]
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    try:
        wait_for(lambda: ready.exists() or process.poll() is not None, "the ready file")
        assert process.poll() is None, (tmp_path / "output").read_text()
        demo = Demo(process, ready)
        yield demo
        process.send_signal(end)
        status = process.wait(PATIENCE)
        wait_for(lambda: not any(alive(pid) for pid in demo.pids), "the end of every process")
        assert status == (0 if end == signal.SIGTERM else -end)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


LONDON, TOKYO, NEW_YORK = "81.2.69.0", "126.0.0.0", "128.122.0.0"


def test_the_world_stands_and_all_of_it_ends_with_sigterm(tmp_path):
    with running(tmp_path) as demo:
        assert len(demo.pids) == len(set(demo.pids)) == 1 + 1 + 3 + 36
        assert all(alive(pid) for pid in demo.pids)
        found = {where: demo.address(where) for where in (LONDON, TOKYO, NEW_YORK)}
        assert found == {LONDON: "127.0.20.1", TOKYO: "127.0.30.1", NEW_YORK: "127.0.10.1"}
        with redis.Redis.from_url(demo.ready["redis"]["url"], decode_responses=True) as client:
            assert client.hget("gslb:v1:verdict:eu-west", "state") == "up"
        admin = demo.ready["admin"]
        with urllib.request.urlopen(f"{admin}/v1/state", timeout=5) as response:
            state = json.load(response)
        assert {region["verdict"] for region in state["regions"]} == {"up"}
        run_readme_commands(demo)


def run_readme_commands(demo):
    """Every command that the README shows beside the running demo works as it stands."""
    text = (ROOT / "README.md").read_text()
    (section,) = re.findall(r"<!-- beside the demo -->(.*?)<!-- end -->", text, re.DOTALL)
    commands = re.findall(r"^\$ (.*)$", section, re.MULTILINE)
    assert len(commands) >= 8
    if demo.ready["config"] != str(ROOT / "regions.yaml"):
        pytest.skip("the demo had to move; the README's addresses are not its own")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for command in commands:
        program = shlex.split(command)[0]
        if shutil.which(program, path=path) is None:
            continue
        environment = {**os.environ, "PATH": path}
        done = subprocess.run(
            command, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stderr)
        assert done.stdout.strip(), command


@pytest.mark.skipif(sys.platform == "win32", reason="no POSIX signals")
def test_nothing_outlives_a_demo_that_is_killed(tmp_path):
    with running(tmp_path, end=signal.SIGKILL) as demo:
        assert all(alive(pid) for pid in demo.pids)


def test_its_own_check_passes():
    command = [sys.executable, "-m", "gslb", "demo", "--check"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE * 2, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All is as it should be." in done.stdout
