"""An edge that is asked over HTTP, or by `gslb reload`, to take its file up, and what it says of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from edge_file import COMMAND, ENVIRONMENT, REGION, write
from edge_stage import Stage, answering, ok, until
from ports import free_port
from typer.testing import CliRunner, Result

from edge.admin import edge_app
from edge.identity import edge_of
from edge.process import EdgeProcess
from gslb.admin.listener import AdminServer
from gslb.cli import app
from gslb.clock import SystemClock
from gslb.config import load
from gslb.fleet import SocketAddress
from gslb.reload_outcome import LINES_LOGGED, Outcome, Status

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
NAME = f"{REGION}-1"
TOKEN = {"Authorization": "Bearer sesame"}


class Asked:
    """An edge in this process with its admin side, its file, and who asks there."""

    def __init__(self, stage: Stage, file: Path) -> None:
        self.stage = stage
        self.file = file
        self.listen = f"127.0.0.1:{free_port()}"
        self.process: EdgeProcess
        self.admin: AdminServer

    def declare(self, *servers: SocketAddress, **options: Any) -> None:
        write(self.file, [self.listen], {"web": servers}, **options)

    async def open(self, *, start: bool = True) -> None:
        fleet = load(self.file)
        loop = asyncio.get_running_loop()
        self.process = EdgeProcess(fleet, edge_of(fleet, REGION, None), SystemClock(), loop=loop)
        self.admin = AdminServer(edge_app(self.process), SocketAddress("127.0.0.1", 0))
        await self.admin.start()
        if start:
            await self.process.start()
            self.stage.port = self.process.listening[0].port

    async def close(self) -> None:
        if hasattr(self, "admin"):
            await self.process.stop()
            await self.admin.stop()

    async def ask(self, query: str = "", **options: Any) -> httpx.Response:
        return await self.request("POST", f"/v1/reload{query}", **{"headers": TOKEN, **options})

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            return await client.request(method, f"http://127.0.0.1:{self.admin.port}{path}", **options)


@pytest_asyncio.fixture
async def edge(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Asked]:
    monkeypatch.setenv("GSLB_ADMIN_TOKEN", "sesame")
    made = Asked(stage, tmp_path / "regions.yaml")
    yield made
    await made.close()


async def test_a_request_with_the_token_takes_the_file_up_and_tells_what_changed(
    stage: Stage, edge: Asked
) -> None:
    old, new = [await stage.origin(answering(ok(name))) for name in (b"old", b"new")]
    edge.declare(old.address)
    await edge.open()
    edge.declare(new.address, workers=4)
    refused = await edge.ask(headers={})
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert (await stage.ask(GET)).body == b"old"
    taken_up = await edge.ask(f"?edge={NAME}")
    assert taken_up.status_code == 200
    assert taken_up.json() == {
        "edge": NAME,
        "file": str(edge.file),
        "status": "changed",
        "problems": [],
        "too_much": None,
        "needs_restart": ["edge.workers"],
        "warnings": [],
        "changes": [],
        "lines": [
            f"- server {old.address} of pool web",
            f"+ server {new.address} of pool web with weight 1",
            "~ setting edge.workers",
        ],
    }
    assert (await stage.ask(GET)).body == b"new"
    assert (await edge.ask()).json()["status"] == "unchanged"


async def test_a_refusal_is_told_counted_and_changes_nothing(stage: Stage, edge: Asked) -> None:
    origin = await stage.origin(answering(ok()))
    edge.declare(origin.address)
    await edge.open()
    edge.declare(origin.address, lame_duck="soon")
    refused = await edge.ask("?force=true")
    assert (refused.status_code, refused.json()["status"]) == (409, "refused")
    (problem,) = refused.json()["problems"]
    assert "lame_duck" in problem
    assert (await stage.ask(GET)).status == 200
    metrics = (await edge.request("GET", "/metrics")).text
    assert 'gslb_reloads_total{outcome="refused"} 1.0' in metrics
    assert "gslb_configuration_refused 1.0" in metrics


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?edge=elsewhere", f"this is the edge '{NAME}', not 'elsewhere'"),
        (f"?node={NAME}", f"this is the edge '{NAME}', not the node '{NAME}'"),
        ("?force=perhaps", "force must be true or false"),
    ],
)
async def test_what_is_meant_for_another_or_makes_no_sense_reloads_nothing(
    stage: Stage, edge: Asked, query: str, said: str
) -> None:
    old, new = [await stage.origin(answering(ok(name))) for name in (b"old", b"new")]
    edge.declare(old.address)
    await edge.open()
    edge.declare(new.address)
    response = await edge.ask(query)
    assert (response.status_code, response.json()["error"]) == (400, said)
    assert (await stage.ask(GET)).body == b"old"


async def test_who_asks_an_edge_that_never_comes_to_serve_is_told_so(edge: Asked) -> None:
    edge.declare(SocketAddress("127.0.0.1", 1))
    await edge.open(start=False)
    configuration = edge.process.configuration
    asking = asyncio.create_task(configuration.reload("test"))
    await asyncio.sleep(0)
    assert not asking.done()
    await configuration.close()
    assert await asking == Outcome(Status.REFUSED, ("the edge is leaving",))
    response = await edge.ask()
    assert (response.status_code, response.json()["problems"]) == (409, ["the edge is leaving"])


def test_a_log_line_counts_the_changes_that_are_too_many_to_be_told() -> None:
    told = tuple(f"+ pool {number}" for number in range(LINES_LOGGED + 2))
    assert Outcome(Status.CHANGED, told=told).logged == [*told[:LINES_LOGGED], "… and 2 more"]
    assert Outcome(Status.CHANGED, told=told[:-1]).logged == [*told[:-1]]


class Command:
    """A fleet of a node and two edges, of which one edge runs, as processes of its own."""

    def __init__(self, folder: Path, server: SocketAddress, workers: int) -> None:
        self.folder = folder
        self.file = folder / "regions.yaml"
        self.server = server
        self.workers = workers
        self.port, self.admin = free_port(), free_port()
        self.dead = f"127.0.0.1:{free_port()}"

    def declare(self, **options: Any) -> None:
        write(
            self.file,
            [f"127.0.0.1:{self.port}"],
            {"web": [self.server]},
            **{"workers": self.workers, "admin": f"127.0.0.1:{self.admin}", **options},
        )
        text = self.file.read_text()
        other = {"addresses": ["127.0.0.2"], "port": 80, "admin": self.dead}
        hidden = {"addresses": ["127.0.0.3"], "port": 80}
        region = json.loads(text.splitlines()[0].partition(": ")[2])
        region[REGION]["edges"] += [other, hidden]
        rest = text.splitlines(keepends=True)[1:]
        nodes = {"watch": None, "nodes": {"ns1": {"listen": ["127.0.0.1:5399"], "admin": self.dead}}}
        self.file.write_text(f"regions: {json.dumps(region)}\n{''.join(rest)}dns: {json.dumps(nodes)}\n")

    async def start(self) -> None:
        ready, log = self.folder / "ready", os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT)
        self.process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *("--region", REGION, "--edge", NAME, "--ready-file", str(ready)),
            cwd=self.folder,
            env={**ENVIRONMENT, "GSLB_ADMIN_TOKEN": "sesame"},
            stdout=log,
            stderr=log,
        )
        os.close(log)
        await until(lambda: ready.exists() or self.process.returncode is not None, within=60)
        assert self.process.returncode is None, (self.folder / "log").read_text()

    async def reload(self, *arguments: str) -> Result:
        command = ["reload", "--config", str(self.file), *arguments]
        return await asyncio.to_thread(CliRunner().invoke, app, command)


@pytest_asyncio.fixture(params=[1, 2], ids=["alone", "workers"])
async def command(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Command]:
    monkeypatch.setenv("GSLB_ADMIN_TOKEN", "sesame")
    made = Command(tmp_path, (await stage.origin(answering(ok()))).address, request.param)
    made.declare()
    await made.start()
    stage.port = made.port
    yield made
    with contextlib.suppress(ProcessLookupError):
        made.process.kill()
    await made.process.wait()


@pytest.mark.processes
async def test_the_command_reloads_edges_and_names_those_it_does_not_reach(
    stage: Stage, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    command.declare(max_body=4, workers=3)
    result = await command.reload()
    assert result.exit_code == 0, (result.output, result.exception)
    assert result.stdout == (
        f"{NAME}: taken up\n"
        "  ~ setting edge.max_body\n  ~ setting edge.workers\n  needs a restart: edge.workers\n"
    )
    assert result.stderr == (
        f"ns1: nobody answers at {command.dead}\n"
        f"{REGION}-2: nobody answers at {command.dead}\n"
        f"{REGION}-3: not asked, having no admin side (SIGHUP does the same)\n"
    )
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    async with asyncio.timeout(20):
        while (await stage.ask(post)).status != 413:  # workers hear of it a moment later
            await asyncio.sleep(0.01)
    result = await command.reload("--name", NAME, "--json", "--force")
    (document,) = json.loads(result.stdout)
    assert (document["edge"], document["status"], result.stderr) == (NAME, "unchanged", "")
    # Another edge at its address, on another machine as the file may mean it.
    command.dead = f"127.0.0.1:{command.admin}"
    command.declare()
    result = await command.reload()
    assert f"ns1: not reached, as {NAME} answers at {command.dead}; run this beside it\n" in result.stderr
    assert f"{REGION}-2: not reached, as {NAME} answers at" in result.stderr
    result = await command.reload("--name", f"{REGION}-2")
    assert result.exit_code == 1
    assert f"{REGION}-2: this is the edge '{NAME}', not '{REGION}-2'" in result.stderr
    monkeypatch.delenv("GSLB_ADMIN_TOKEN")
    result = await command.reload("--json")
    (document,) = json.loads(result.stdout)
    assert (document["node"], document["edge"]) == ("ns1", f"{NAME} and {REGION}-2")
    assert (document["status"], result.exit_code) == ("failed", 1)
    assert "needs a token" in document["error"]
