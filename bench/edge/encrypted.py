"""Topic: what TLS adds to a small request, and what a full handshake costs."""

from __future__ import annotations

import re
import subprocess
import time
from contextlib import ExitStack
from math import ceil
from pathlib import Path

from measure import Round, output_of
from place import Certificate
from processes import UnavailableError, program
from session import Entrant, Row, Session
from small import by_wrk
from trees import Meter


def tls(session: Session) -> list[Row]:
    """Keep-alive requests by wrk; handshakes by OpenSSL's s_time, one after the other, without resumption."""
    try:
        openssl = program("openssl", "openssl")
        certificate = self_signed(openssl, session.folder)
    except UnavailableError as reason:
        session.skip("tls", "all", reason)
        return []
    rows: list[Row] = []
    with ExitStack() as stack:
        entrants = session.enter(stack, "tls", session.servers(with_floor=False), certificate)
        if session.wrk is None:
            session.skip("tls", "requests", "wrk is not installed (Debian: apt-get install wrk)")
        else:
            rows += session.compared(
                "1 KB, keep-alive, TLS", entrants, lambda each, seconds: by_wrk(session, each, seconds)
            )
        rows += session.compared(
            "full TLS handshakes",
            entrants,
            lambda each, seconds: _handshakes(openssl, session, each, seconds),
        )
    return rows


def self_signed(openssl: str, folder: Path) -> Certificate:
    """A certificate on P-256, as most have them now; raises UnavailableError when it cannot be made."""
    made = Certificate(folder / "chain.pem", folder / "key.pem", folder / "both.pem")
    names = "subjectAltName=DNS:www.bench.test,IP:127.0.0.1"
    command = [openssl, "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-days", "30", "-subj", "/CN=www.bench.test", "-addext", names]
    command += ["-keyout", str(made.key), "-out", str(made.chain)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    except subprocess.SubprocessError as error:
        raise UnavailableError(f"openssl makes no certificate: {error}") from error
    made.both.write_text(made.chain.read_text() + made.key.read_text())
    # nginx's workers and Caddy may run as somebody else.
    for file in (made.key, made.both):
        file.chmod(0o644)
    return made


def _handshakes(openssl: str, session: Session, entrant: Entrant, seconds: float) -> Round:
    whole = max(1, ceil(seconds))
    pid = entrant.process.pid
    command = [openssl, "s_time", "-new", "-connect", f"127.0.0.1:{entrant.place.port}", "-time", str(whole)]
    # s_time tells of whole seconds only, and rounds them up.
    began, meter = time.monotonic(), Meter(pid)
    shown = output_of(command, whole, session.cores.generator)
    passed = time.monotonic() - began
    cpu = meter.seconds()
    found = re.search(r"(\d+) connections in \d+ real seconds", shown)
    if found is None or not int(found[1]):
        raise UnavailableError(f"no handshake succeeded: {shown.strip()[-200:]}")
    return Round(cpu=cpu, seconds=passed, answered=int(found[1]), faults=0)
