"""Who may change state over HTTP: the holder of the bearer token from the environment, and no one else."""

from __future__ import annotations

import hmac
import os

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gslb.errors import GslbError

TOKEN_VARIABLE = "GSLB_ADMIN_TOKEN"
"""The environment variable with the token; without it nothing can be changed over HTTP."""


def admin_token() -> str | None:
    """The token without blanks around it, None when there is none; GslbError if no header can carry it."""
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not (token.isascii() and token.isprintable()):
        raise GslbError(
            f"{TOKEN_VARIABLE} has a character that cannot be sent in a header",
            hint="use letters and digits, as from `openssl rand -hex 32`",
        )
    return token or None


def require_token(token: str | None) -> Middleware:
    """A middleware that lets GET and HEAD pass, and anything else only with `Authorization: Bearer`."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD") and not _authorised(request, token):
            remedy = f"send Authorization: Bearer with the value of {TOKEN_VARIABLE}"
            if token is None:
                remedy = f"start the process with {TOKEN_VARIABLE} in its environment"
            return web.json_response(
                {"error": "changing state needs a token", "hint": remedy},
                status=401,
                headers={"WWW-Authenticate": "Bearer"},
            )
        return await handler(request)

    return check


def _authorised(request: web.Request, token: str | None) -> bool:
    if token is None:
        return False
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    # What is not UTF-8 in a header comes as surrogates, which stand for the bytes as they were sent.
    sent = given.strip().encode("utf-8", "surrogateescape")
    return scheme.lower() == "bearer" and hmac.compare_digest(sent, token.encode())
