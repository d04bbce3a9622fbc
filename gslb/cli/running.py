"""Asks a running DNS node over its admin side; what commands do before they compute for themselves."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from gslb.errors import GslbError
from gslb.fleet import Fleet

TIMEOUT = 2.0
"""Seconds to wait for a node on the private network before going on without it."""


def ask_node(fleet: Fleet, path: str, parameters: dict[str, str] | None = None) -> dict[str, Any] | None:
    """The JSON document from the first of the fleet's nodes that answers; None when none does.

    Raises GslbError with the node's own sentence when it answers that the question is wrong.
    """
    query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for node in fleet.dns.nodes.values():
        if node.admin is None:
            continue
        try:
            with opener.open(f"http://{node.admin}{path}{query}", timeout=TIMEOUT) as response:
                document = json.load(response)
                if isinstance(document, dict) and "node" in document:
                    return document
        except urllib.error.HTTPError as error:
            document = _document(error)
            if error.code < 500 and "error" in document:
                raise GslbError(str(document["error"]), hint=document.get("hint")) from None
        except (OSError, ValueError, http.client.HTTPException):
            # Nobody there, or somebody else.
            continue
    return None


def _document(error: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        document = json.load(error)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
