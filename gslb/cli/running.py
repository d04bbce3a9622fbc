"""Asks running DNS nodes before a command computes for itself, and tells nodes and edges what to do."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from http import HTTPStatus
from typing import IO, Any

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
        try:
            answer = _exchange(_request(node.admin, path, parameters), timeout)
        except TimeoutError:
            continue
        status, document = answer or (HTTPStatus.NOT_FOUND, {})
        if status < HTTPStatus.INTERNAL_SERVER_ERROR and "error" in document:
            raise _refusal(document)
        if "node" in document:
            return document
    return None


def tell(
    address: SocketAddress, path: str, parameters: dict[str, str], *, token: str | None, timeout: float
) -> dict[str, Any] | None:
    """The JSON document that answers a POST at one admin side; None when nobody is there.

    Raises GslbError with the node's own sentence when it refuses for any reason but that of its state (409),
    and when it is there but does not answer within `timeout` s.
    """
    request = _request(address, path, parameters, method="POST")
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        answer = _exchange(request, timeout)
    except TimeoutError:
        raise GslbError(
            f"no answer from {address} within {timeout:g} s", hint="it may still be at it: see its log"
        ) from None
    _, document = answer or (HTTPStatus.NOT_FOUND, {})
    if "error" in document:
        raise _refusal(document)
    return document if "node" in document or "edge" in document else None


def _request(
    address: SocketAddress, path: str, parameters: dict[str, str] | None, method: str = "GET"
) -> urllib.request.Request:
    query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
    return urllib.request.Request(f"http://{address}{path}{query}", method=method)


def _exchange(request: urllib.request.Request, timeout: float) -> tuple[int, dict[str, Any]] | None:
    """Status and JSON document of the answer; None when nobody is there, or somebody who speaks no HTTP.

    Raises TimeoutError when somebody took the request and says nothing for `timeout` seconds.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as response:
            return response.status, _document(response)
    except urllib.error.HTTPError as error:
        return error.code, _document(error)
    except TimeoutError:
        raise
    except (OSError, ValueError, http.client.HTTPException):
        return None


def _document(response: IO[bytes]) -> dict[str, Any]:
    try:
        document = json.load(response)
    except (OSError, ValueError, http.client.HTTPException):
        return {}
    return document if isinstance(document, dict) else {}


def _refusal(document: dict[str, Any]) -> GslbError:
    return GslbError(str(document["error"]), hint=document.get("hint"))
