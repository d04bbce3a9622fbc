"""The admin side that every process has: an aiohttp application on a private address, with metrics."""

from __future__ import annotations

import os

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from gslb.admin.access import admin_token, require_token
from gslb.errors import GslbError, StoreError
from gslb.fleet import SocketAddress

log = structlog.get_logger(__name__)

REGISTRY = web.AppKey("registry", CollectorRegistry)


def admin_app(collector: Collector) -> web.Application:
    """An application with `/metrics`, errors as JSON, and changes only for the holder of the token."""
    app = web.Application(middlewares=[_errors_as_json(), require_token(admin_token())])
    registry = CollectorRegistry()
    registry.register(collector)
    app[REGISTRY] = registry
    app.router.add_get("/metrics", _metrics)
    return app


class AdminServer:
    """Serves one application on one address; starting raises GslbError where it cannot be bound."""

    def __init__(self, app: web.Application, address: SocketAddress) -> None:
        self._runner = web.AppRunner(app, access_log=None)
        self._address = address
        self.port = address.port

    async def start(self) -> None:
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._address.host, self._address.port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise GslbError(
                f"cannot listen on {self._address} for the admin side: {os.strerror(error.errno or 0)}",
                hint="choose another `admin` address",
            ) from None
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self._runner.cleanup()


def _errors_as_json() -> Middleware:
    @web.middleware
    async def convert(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except StoreError as error:
            return web.json_response({"error": error.message, "hint": error.hint}, status=503)
        except GslbError as error:
            return web.json_response({"error": error.message, "hint": error.hint}, status=400)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
            return web.json_response({"error": error.reason}, status=error.status, headers=allowed)
        except Exception:
            log.exception("an admin request failed", method=request.method, path=request.path)
            return web.json_response({"error": "an error of ours; the log has it"}, status=500)

    return convert


async def _metrics(request: web.Request) -> web.Response:
    body = generate_latest(request.app[REGISTRY])
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})
