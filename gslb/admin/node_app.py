"""What a DNS node tells and takes over HTTP; reading is free, changing state needs the token."""

from __future__ import annotations

from importlib.resources import files
from ipaddress import ip_address

from aiohttp import web

from gslb.admin.documents import Document, reply_document, world_document
from gslb.admin.listener import admin_app
from gslb.admin.metrics import NodeCollector
from gslb.admin.overrides import delete_override, put_override
from gslb.admin.reload import made_aside, reload_response
from gslb.clock import iso
from gslb.config.declaration import without_marks
from gslb.errors import GslbError
from gslb.node import DnsNode

NODE = web.AppKey("node", DnsNode)


def node_app(node: DnsNode) -> web.Application:
    """The application of a DNS node."""
    app = admin_app(NodeCollector(node))
    app[NODE] = node
    app.add_routes(
        [
            web.get("/", _page),
            web.get("/healthz", _health),
            web.get("/v1/state", _state),
            web.get("/v1/explain", _explain),
            web.get("/v1/events", _events),
            web.get("/v1/fleet", _fleet),
            web.post("/v1/reload", _reload),
            web.put("/v1/overrides/{region}", _put_override),
            web.delete("/v1/overrides/{region}", _delete_override),
        ]
    )
    return app


async def _page(request: web.Request) -> web.Response:
    text = files("gslb.admin").joinpath("page.html").read_text(encoding="utf-8")
    return web.Response(text=text, content_type="text/html")


async def _health(request: web.Request) -> web.Response:
    """200 while queries are answered: Redis being away does not make a node unhealthy."""
    node = request.app[NODE]
    document = {"answering": node.answering, "store_connected": node.store.connected}
    return web.json_response(document, status=200 if node.answering else 503)


async def _state(request: web.Request) -> web.Response:
    node = request.app[NODE]
    responder = node.responder
    document: Document = {
        "node": node.node.name,
        "uptime_seconds": round(node.clock.now() - node.started_at, 1),
        "configuration": node.configuration.state(),
        "store": {
            "connected": node.store.connected,
            "last_error": node.store.last_error,
            "recalled_at": iso(node.store.recalled_at) if node.store.recalled_at is not None else None,
        },
        "dns": {
            "listen": [str(udp.address) for udp in node.udp],
            "path": node.path,
            "queries": responder.queries,
            "cache_hits": responder.hits,
            "answers": [
                {"service": service, "region": region, "count": count}
                for (service, region), count in sorted(responder.served.items())
            ],
        },
        "geo": [str(line) for line in node.locators.current.describe()],
        **world_document(node.fleet, node.store.world),
    }
    return web.json_response(document)


async def _explain(request: web.Request) -> web.Response:
    node = request.app[NODE]
    try:
        name = request.query["name"]
        address = ip_address(request.query["from"])
    except KeyError as error:
        raise GslbError(f"the parameter {error.args[0]!r} is missing", hint="name, from and type") from None
    except ValueError:
        raise GslbError(f"{request.query['from']!r} is not an IP address") from None
    rtype = request.query.get("type", "A")
    reply = node.responder.authority.explain(name, rtype, address, node.clock.now())
    return web.json_response({"node": node.node.name, **reply_document(name, rtype, reply)})


async def _events(request: web.Request) -> web.Response:
    count = request.query.get("count", "100")
    if not (count.isascii() and count.isdigit() and len(count) < 6 and 0 < int(count) <= 10_000):
        raise GslbError("count must be from 1 to 10000")
    return web.json_response(await request.app[NODE].store.events(int(count)))


async def _fleet(request: web.Request) -> web.Response:
    """What the node's file declares, as far as it is in effect; never a secret."""
    node = request.app[NODE]
    declared = await node.configuration.declared()
    name, state = node.node.name, node.configuration.state()
    return await made_aside(
        lambda: {
            "node": name,
            "configuration": state,
            "declared": {
                section: {name: without_marks(text) for name, text in entries.items()}
                for section, entries in declared.items()
            },
        }
    )


async def _reload(request: web.Request) -> web.Response:
    node = request.app[NODE]
    return await reload_response(request, "node", node.node.name, node.configuration)


async def _put_override(request: web.Request) -> web.Response:
    return await put_override(request, request.app[NODE])


async def _delete_override(request: web.Request) -> web.Response:
    return await delete_override(request, request.app[NODE])
