"""docker-compose.yml is valid by the Compose specification, and is the same world as the demo."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from gslb.config import check, load

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
FLEET = ROOT / "deploy" / "compose" / "regions.yaml"


@pytest.fixture(scope="module")
def compose():
    return YAML(typ="safe").load(COMPOSE.read_text())


def test_it_is_valid_by_the_specification():
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        str(COMPOSE),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_its_fleet_is_the_demos_but_for_addresses():
    demo, contained = load(ROOT / "regions.yaml"), load(FLEET, environment={})
    assert check(FLEET, environment={}).errors == ()

    def moved(value):
        own = repr(value).replace("127.0.0.0/8", "172.30.0.0/16")
        return re.sub(r"127\.0\.([123]0)\.", r"172.30.\1.", own)

    for part in ("regions", "pools", "routes", "services", "edge", "geo"):
        assert moved(getattr(demo, part)) == repr(getattr(contained, part)), part
    assert demo.zones["shop.example"].text == contained.zones["shop.example"].text
    redis = (demo.redis, contained.redis)
    assert replace(redis[0], url=None) == replace(redis[1], url=None)


def test_every_process_of_the_fleet_has_its_container_at_its_address(compose):
    fleet = load(FLEET, environment={})
    services = compose["services"]
    address = {name: service["networks"]["world"]["ipv4_address"] for name, service in services.items()}
    assert len(set(address.values())) == len(address)
    for node in fleet.dns.nodes:
        assert services[node]["command"] == ["gslb", "dns", "--name", node]
    for region in fleet.regions.values():
        (edge,) = region.edges
        container = f"edge-{region.name}"
        assert services[container]["command"] == ["gslb-edge", "--region", region.name]
        assert address[container] == str(edge.addresses[0])
        for servers in region.servers.values():
            for server in servers:
                (holder,) = (name for name, where in address.items() if where == server.address.host)
                assert f"{server.pool}:{server.address.port}" in services[holder]["command"]
                assert holder in services[container]["depends_on"]


def test_every_container_has_a_health_check_and_no_privileges(compose):
    for name, service in compose["services"].items():
        assert service["healthcheck"]["test"][0] == "CMD"
        if name != "redis":
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]


def test_the_image_runs_as_nobody_from_a_second_stage():
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert dockerfile.count("\nFROM ") == 2
    assert re.search(r"^USER 65532", dockerfile, re.MULTILINE)


def test_what_containers_run_as_health_check_tells_good_from_bad(tmp_path):
    script = ROOT / "deploy" / "compose" / "bin" / "gslb-healthcheck"
    server = [sys.executable, "-I", "-S", "-u", "-c", SERVER]
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as process:
        port = process.stdout.readline().strip()
        try:
            for path, status in (("good", 0), ("bad", 1)):
                url = f"http://127.0.0.1:{port}/{path}"
                done = subprocess.run([sys.executable, str(script), url], capture_output=True, check=False)
                assert done.returncode == status
        finally:
            process.kill()


SERVER = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/good" else 503)
        self.end_headers()
    def log_message(self, *_): pass
server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""
