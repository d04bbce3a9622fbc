"""Looks into the files that edges need beside regions.yaml, before one is started that cannot serve."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from gslb.config.document import KeyPath
from gslb.config.findings import Findings
from gslb.config.sections import Sections
from gslb.config.textfile import UnreadableError, read_text
from gslb.config.validity import valid_until
from gslb.fleet import Certificate, Discovery, EdgeSettings, Pool, ServersFile, ServerTls

WARNED_BEFORE = 14 * 86400.0
"""Seconds before its end at which a certificate is warned of."""

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_PEM_CERTIFICATE = "name a file in PEM form: it has a line `-----BEGIN CERTIFICATE-----`"
_PEM_KEY = "name a file in PEM form: it has a line `-----BEGIN PRIVATE KEY-----`"
_WORDS = re.compile(r"[^a-z0-9]+")


class _LockedError(Exception):
    """The key wants a password, and nobody is there to give it."""


def resolve_edge_files(sections: Sections, directory: Path) -> None:
    """Name the files of the edges by their paths: what is relative begins at `directory`."""
    sections.edge = _resolved_edge(sections.edge, directory)
    for name, pool in sections.pools.items():
        sections.pools[name] = _resolved_pool(pool, directory)
    for name, region in sections.regions.items():
        found = {
            pool: tuple(_resolved_discovery(each, directory) for each in where)
            for pool, where in region.discovery.items()
        }
        sections.regions[name] = replace(region, discovery=MappingProxyType(found))


def check_certificates(findings: Findings, sections: Sections) -> None:
    """Report every file that no edge could use, and warn of certificates that end; touches nothing else.

    The files' paths must be resolved.
    """
    for path, certificate in _certificates(findings, sections):
        _check_certificate(findings, path, certificate)
    tls = sections.edge.tls
    if tls.client_ca is not None:
        _check_roots(findings, ("edge", "tls", "client_ca"), tls.client_ca)
    for name, pool in sections.pools.items():
        if pool.tls is not None and pool.tls.ca is not None:
            _check_roots(findings, (*sections.paths["pools", name], "tls", "ca"), pool.tls.ca)


def check_access_log(findings: Findings, sections: Sections) -> None:
    """Report an access log that can be no file, wherever the edge runs."""
    file, place = sections.edge.access_log.file, ("edge", "access_log", "file")
    if file is not None and ("\0" in file or Path(file).is_dir()):
        shown = findings.shown(place, _said(findings, place, file))
        findings.error(place, f"{shown} cannot be a file", "name a file in a directory")


def _resolved_edge(edge: EdgeSettings, directory: Path) -> EdgeSettings:
    tls = replace(
        edge.tls,
        certificates=tuple(_resolved(each, directory) for each in edge.tls.certificates),
        client_ca=_path(edge.tls.client_ca, directory),
    )
    return replace(
        edge, tls=tls, access_log=replace(edge.access_log, file=_path(edge.access_log.file, directory))
    )


def _resolved_pool(pool: Pool, directory: Path) -> Pool:
    if pool.tls is None:
        return pool
    shown = pool.tls.certificate
    tls: ServerTls = replace(
        pool.tls,
        ca=_path(pool.tls.ca, directory),
        certificate=_resolved(shown, directory) if shown is not None else None,
    )
    return replace(pool, tls=tls)


def _resolved_discovery(where: Discovery, directory: Path) -> Discovery:
    return ServersFile(str(directory / where.path)) if isinstance(where, ServersFile) else where


def _resolved(certificate: Certificate, directory: Path) -> Certificate:
    return Certificate(str(directory / certificate.chain), str(directory / certificate.key))


def _path(file: str | None, directory: Path) -> str | None:
    return str(directory / file) if file is not None else None


def _certificates(findings: Findings, sections: Sections) -> Iterator[tuple[KeyPath, Certificate]]:
    """Every certificate with its place; one that stands alone, and not in a list, has no number."""
    listed: KeyPath = ("edge", "tls", "certificates")
    marks, certificates = findings.document.value_marks, sections.edge.tls.certificates
    # Where some could not be read, the others' numbers are not those of the file.
    whole = (*listed, len(certificates)) not in marks
    for index, certificate in enumerate(certificates if whole else ()):
        numbered = (*listed, index)
        yield (numbered if numbered in marks else listed), certificate
    for name, pool in sections.pools.items():
        if pool.tls is not None and pool.tls.certificate is not None:
            yield (*sections.paths["pools", name], "tls", "certificate"), pool.tls.certificate


def _check_certificate(findings: Findings, path: KeyPath, certificate: Certificate) -> None:
    chain = _read(findings, (*path, "chain"), certificate.chain)
    key = _read(findings, (*path, "key"), certificate.key)
    if chain is None or key is None:
        return
    written = _CERTIFICATE.findall(chain)
    if not written:
        _refuse(findings, (*path, "chain"), certificate.chain, "holds no certificate", _PEM_CERTIFICATE)
        return
    if "PRIVATE KEY-----" not in key:
        _refuse(findings, (*path, "key"), certificate.key, "holds no private key", _PEM_KEY)
        return
    if _loads(findings, path, certificate):
        _check_end(findings, path, certificate, written[0])


def _loads(findings: Findings, path: KeyPath, certificate: Certificate) -> bool:
    """Whether certificate and key make a pair; what is wrong otherwise is reported."""

    def locked() -> str:
        raise _LockedError

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate.chain, certificate.key, locked)
    except _LockedError:
        hint = "write it without one, for this user only: `openssl pkey -in KEY -out NEW_KEY`"
        _refuse(findings, (*path, "key"), certificate.key, "wants a password", hint)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            hint = "name the key that the certificate was made for; in `chain` that certificate comes first"
            _refuse(findings, (*path, "key"), certificate.key, "is not the key of this certificate", hint)
        else:
            reason = _WORDS.sub(" ", (error.reason or "what is in it is damaged").lower())
            hint = "make both anew, and check them with `openssl x509 -in CHAIN` and `openssl pkey -in KEY`"
            findings.error(path, f"the certificate or its key cannot be used: {reason}", hint)
    except OSError as error:
        findings.error(
            path, f"the certificate or its key cannot be read: {error.strerror}", "check the paths"
        )
    else:
        return True
    return False


def _check_end(findings: Findings, path: KeyPath, certificate: Certificate, pem: str) -> None:
    try:
        end = valid_until(ssl.PEM_cert_to_DER_cert(pem))
    except ValueError:
        # OpenSSL has taken what is read here more strictly; there is nothing to say of its end.
        return
    left = end - time.time()
    if left > WARNED_BEFORE:
        return
    place = (*path, "chain")
    day = datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%d %H:%M UTC")
    when = f"ends on {day}, in {max(left, 0) / 86400:.0f} days" if left > 0 else f"ended on {day}"
    shown = findings.shown(place, _said(findings, place, certificate.chain))
    findings.warn(place, f"the certificate in {shown} {when}", "put a new one in its place")


def _check_roots(findings: Findings, path: KeyPath, file: str) -> None:
    text = _read(findings, path, file)
    if text is None:
        return
    written = _CERTIFICATE.findall(text)
    try:
        if written:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata="\n".join(written))
            return
    except ssl.SSLError:
        _refuse(findings, path, file, "holds a damaged certificate", "make it anew")
        return
    _refuse(findings, path, file, "holds no certificate", _PEM_CERTIFICATE)


def _read(findings: Findings, path: KeyPath, file: str) -> str | None:
    """The text of a file; None when it cannot be read, which is reported."""
    try:
        return read_text(Path(file))
    except UnreadableError as unreadable:
        _refuse(findings, path, file, unreadable.what, unreadable.hint)
        return None


def _refuse(findings: Findings, path: KeyPath, file: str, what: str, hint: str) -> None:
    findings.error(path, f"{findings.shown(path, _said(findings, path, file))} {what}", hint)


def _said(findings: Findings, path: KeyPath, file: str) -> str:
    """The file as regions.yaml names it."""
    data: object = findings.document.data
    for item in path:
        # A list stands at its items' places too: a single certificate has no number.
        if isinstance(data, dict | list):
            data = data[item]  # type: ignore[index]
    return data if isinstance(data, str) else file
