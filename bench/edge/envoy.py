"""Envoy in the benchmark: its configuration for the same work as that of all proxies in `servers`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

from place import Place, Server
from processes import UnavailableError


def _envoy(place: Place) -> list[str]:
    command = _envoy_program()
    file = place.folder / "envoy.json"
    file.write_text(json.dumps(_envoy_document(place)))
    return [command, "--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id", "-c", str(file)]


def _envoy_program() -> str:
    found = shutil.which("envoy")
    if found is None:
        raise UnavailableError("envoy is not installed (Debian has none; programs are at envoyproxy.io)")
    return found


def _envoy_version() -> str:
    shown = subprocess.run(
        [_envoy_program(), "--version"], capture_output=True, text=True, timeout=30, check=False
    )
    match = re.search(r"/(\d+\.\d+\.\d+[^/]*)/", shown.stdout)
    return match[1] if match else "unknown"


def _envoy_document(place: Place) -> dict[str, object]:
    types = "type.googleapis.com/envoy.extensions"
    manager = {
        "@type": f"{types}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "web",
        "codec_type": "HTTP1",
        "use_remote_address": True,
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{types}.filters.http.router.v3.Router"},
            }
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "web", "timeout": "0s"}}],
                }
            ]
        },
    }
    chain: dict[str, object] = {
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    }
    if place.certificate is not None:
        pair = {
            "certificate_chain": {"filename": str(place.certificate.chain)},
            "private_key": {"filename": str(place.certificate.key)},
        }
        chain["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": f"{types}.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {"tls_certificates": [pair]},
            },
        }
    endpoints = [{"endpoint": {"address": _socket_address(port)}} for port in place.backends]
    cluster = {
        "name": "web",
        "type": "STATIC",
        "lb_policy": "ROUND_ROBIN",
        "load_assignment": {"cluster_name": "web", "endpoints": [{"lb_endpoints": endpoints}]},
    }
    listener = {"address": _socket_address(place.port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _socket_address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


ENVOY = Server("envoy", _envoy_version, _envoy)
