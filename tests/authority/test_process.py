"""`gslb dns` as the operating system sees it: its ready file, its signals, its log."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import dns.message
import dns.query
import dns.rcode
import pytest
from ports import free_port
from test_node import FLEET

PATIENCE = 30.0


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def config(tmp_path, redis_server):
    ports = {name: free_port() for name in ("dns", "admin", "west", "asia")}
    file = tmp_path / "regions.yaml"
    file.write_text(FLEET.format(redis=redis_server.url, big='"x"', **ports))
    return file, ports["dns"]


def test_it_says_when_it_is_ready_reloads_on_a_hangup_and_ends_when_told(tmp_path, config):
    file, port = config
    ready, log = tmp_path / "ready", tmp_path / "log"
    ready.write_text("of an earlier run")
    command = [sys.executable, "-m", "gslb", "dns", "--config", str(file), "--ready-file", str(ready)]
    with log.open("wb") as output, subprocess.Popen(command, stderr=output) as process:
        try:
            wait_for(lambda: ready.exists() and ready.read_text() == "ready\n")
            query = dns.message.make_query("shop.test", "SOA")
            assert dns.query.udp(query, "127.0.0.1", port=port, timeout=5).rcode() == dns.rcode.NOERROR
            file.write_text(file.read_text().replace("hostmaster 1 ", "hostmaster 2 "))
            process.send_signal(signal.SIGHUP)
            wait_for(lambda: "configuration taken up" in log.read_text())
            answer = dns.query.udp(query, "127.0.0.1", port=port, timeout=5).answer[0][0]
            assert answer.serial == 2
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    told = {(line.get("region"), line.get("verdict")) for line in lines if line["event"] == "region"}
    assert told == {("west", "down"), ("asia", "down")}, "nothing listens where the edges should be"


def test_a_port_that_is_taken_is_one_line_and_exit_status_1(config):
    file, port = config
    with subprocess.Popen([sys.executable, "-c", HOLD, str(port)], stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        command = [sys.executable, "-m", "gslb", "dns", "--config", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        holder.kill()
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"gslb: cannot listen on 127.0.0.1:{port}: Address already in use "
        "(another program has it: `ss -lnup` tells which)"
    ]


HOLD = """
import socket, sys, time
held = socket.socket(type=socket.SOCK_DGRAM)
held.bind(("127.0.0.1", int(sys.argv[1])))
print("held", flush=True)
time.sleep(60)
"""
