"""The proxies in the benchmark: the configuration of each for the same work, and how to start it.

Each one has one worker, spreads requests in turn over the same backends, keeps connections to them, writes no
access log, and tells the backend of the client, the scheme and, where it can, an identity of the request.
Everything else is as it comes by default, but for limits that this load would meet.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from envoy import ENVOY
from place import KEPT, MOST_CLIENTS, Place, Server
from processes import program


def _version(name: str, package: str, argument: str) -> str:
    shown = subprocess.run(
        [program(name, package), argument], capture_output=True, text=True, timeout=30, check=False
    )
    match = re.search(r"\d+\.\d+\.\d+\S*", shown.stdout + shown.stderr)
    return match.group().rstrip(",;") if match else "unknown"


def _nginx(place: Place) -> list[str]:
    command = program("nginx", "nginx")
    file = place.folder / "nginx.conf"
    tls = ""
    if place.certificate is not None:
        pair = place.certificate
        # As the others have it by default: this version leaves TLS 1.3 out.
        tls = f"""ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {pair.chain};
    ssl_certificate_key {pair.key};"""
    temporary = "\n".join(
        f"  {kind}_temp_path {place.folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file.write_text(f"""\
daemon off;
worker_processes 1;
pid {place.folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections {2 * MOST_CLIENTS}; }}
http {{
{temporary}
  access_log off;
  client_max_body_size 0;
  keepalive_requests 1000000;
  upstream web {{
{"".join(f"    server 127.0.0.1:{port};" for port in place.backends)}
    keepalive {KEPT};
    keepalive_requests 1000000;
  }}
  server {{
    listen 127.0.0.1:{place.port}{" ssl" if tls else ""};
    {tls}
    location / {{
      proxy_pass http://web;
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Request-Id $request_id;
    }}
  }}
}}
""")
    return [command, "-p", str(place.folder), "-c", str(file)]


def _haproxy(place: Place) -> list[str]:
    command = program("haproxy", "haproxy")
    file = place.folder / "haproxy.cfg"
    tls = f" ssl crt {place.certificate.both}" if place.certificate is not None else ""
    servers = "\n".join(f"    server web{port} 127.0.0.1:{port}" for port in place.backends)
    file.write_text(f"""\
global
    nbthread 1
    maxconn {MOST_CLIENTS}
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 30s
frontend web
    bind 127.0.0.1:{place.port}{tls}
    option forwardfor
    unique-id-format %[uuid()]
    unique-id-header X-Request-Id
    http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
    default_backend web
backend web
    balance roundrobin
    http-reuse always
{servers}
""")
    return [command, "-db", "-f", str(file)]


def _caddy(place: Place) -> list[str]:
    command = program("caddy", "caddy")
    file = place.folder / "Caddyfile"
    certificate = place.certificate
    tls = f"tls {certificate.chain} {certificate.key}" if certificate is not None else ""
    backends = " ".join(f"127.0.0.1:{port}" for port in place.backends)
    file.write_text(f"""\
{{
	admin off
	auto_https off
	storage file_system {place.folder}/storage
	log {{
		level ERROR
	}}
	servers {{
		protocols h1
	}}
}}
{"https" if tls else "http"}://:{place.port} {{
	bind 127.0.0.1
	{tls}
	reverse_proxy {backends} {{
		lb_policy round_robin
		transport http {{
			keepalive_idle_conns_per_host {KEPT}
		}}
	}}
}}
""")
    return [command, "run", "--config", str(file), "--adapter", "caddyfile"]


NGINX = Server("nginx", lambda: _version("nginx", "nginx", "-v"), _nginx)
HAPROXY = Server("haproxy", lambda: _version("haproxy", "haproxy", "-v"), _haproxy)
PEERS = (
    NGINX,
    HAPROXY,
    ENVOY,
    Server(
        "caddy",
        lambda: _version("caddy", "caddy", "version"),
        _caddy,
        environment={"GOMAXPROCS": "1"},
    ),
)


def forwarder(command: Path) -> Server:
    """The floor: `command` copies bytes."""
    return Server(
        "forwarder",
        lambda: "copies bytes",
        lambda place: [str(command), str(place.port), *map(str, place.backends)],
    )
