"""Who may change state over HTTP: the holder of the bearer token from the environment, and no one else."""

from __future__ import annotations

import hmac
import os

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

TOKEN_VARIABLE = "GSLB_ADMIN_TOKEN"
"""The environment variable with the token; without it nothing can be changed over HTTP."""


def admin_token() -> str | None:
    """The token, None when there is none or it is empty."""
    return os.environ.get(TOKEN_VARIABLE) or None


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
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())
