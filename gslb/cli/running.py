"""Asks running DNS nodes over their admin sides; what commands do before they compute for themselves."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from http import HTTPStatus
from typing import Any

from gslb.errors import GslbError
from gslb.fleet import Fleet, SocketAddress

TIMEOUT = 2.0
"""Seconds to wait for a node on the private network before going on without it."""


def ask_node(
    fleet: Fleet, path: str, parameters: dict[str, str] | None = None, *, timeout: float = TIMEOUT
) -> dict[str, Any] | None:
    """The JSON document from the first of the fleet's nodes that answers; None when none does.

    Raises GslbError with the node's own sentence when it answers that the question is wrong.
    """
    for node in fleet.dns.nodes.values():
        if node.admin is None:
            continue
        document = _exchange(_request(node.admin, path, parameters), timeout)
        if document is not None and "node" in document:
            return document
    return None


def tell_node(
    address: SocketAddress, path: str, parameters: dict[str, str], *, token: str | None, timeout: float
) -> dict[str, Any] | None:
    """The JSON document that answers a POST at one admin side; None when nobody is there within `timeout` s.

    Raises GslbError with the node's own sentence when it refuses for any reason but that of its state (409).
    """
    request = _request(address, path, parameters, method="POST")
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    document = _exchange(request, timeout)
    return document if document is not None and "node" in document else None


def _request(
    address: SocketAddress, path: str, parameters: dict[str, str] | None, method: str = "GET"
) -> urllib.request.Request:
    query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
    return urllib.request.Request(f"http://{address}{path}{query}", method=method)


def _exchange(request: urllib.request.Request, timeout: float) -> dict[str, Any] | None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as response:
            document = json.load(response)
            return document if isinstance(document, dict) else None
    except urllib.error.HTTPError as error:
        document = _document(error)
        if error.code == HTTPStatus.CONFLICT:
            return document
        if error.code < 500 and "error" in document:
            raise GslbError(str(document["error"]), hint=document.get("hint")) from None
    except (OSError, ValueError, http.client.HTTPException):
        # Nobody there, or somebody else.
        pass
    return None


def _document(error: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        document = json.load(error)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
