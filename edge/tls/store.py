"""The edge's certificates: chosen by the name that a client asks for, exchanged while connections live."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from edge.tls.error import TlsError
from edge.tls.handshake import ServerSideObject
from edge.tls.pair import FileState, load_pair, load_roots, read_facts
from edge.tls.settings import harden
from gslb.fleet import Certificate, ClientCertificate, TlsSettings

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_MODES = {
    ClientCertificate.NONE: ssl.CERT_NONE,
    ClientCertificate.OPTIONAL: ssl.CERT_OPTIONAL,
    ClientCertificate.REQUIRED: ssl.CERT_REQUIRED,
}


@dataclass(frozen=True, slots=True)
class LoadedCertificate:
    """A certificate in use. names: DNS names and addresses it holds. expires: seconds since 1970.

    files: what it was made from, as they were then.
    """

    certificate: Certificate
    names: tuple[str, ...]
    expires: float
    context: ssl.SSLContext
    files: tuple[FileState, ...]

    @property
    def is_current(self) -> bool:
        """Whether its files are still those it was made from."""
        return all(FileState.now(file.path) == file for file in self.files)


class CertificateStore:
    """All certificates of the listeners with TLS, and the context that those listeners are given.

    The listeners' `context` never changes and holds no certificate: each handshake moves on to the context
    of the certificate that fits, so a reload holds for the next handshake and touches no connection. Session
    tickets are the listeners' context's, so they outlive a reload: a client that was let in may resume for
    as long as its session lives (OpenSSL's two hours), also when `client_ca` changed meanwhile.
    """

    def __init__(self, settings: TlsSettings) -> None:
        """Read all files; raises TlsError for the first that cannot be used."""
        if not settings.certificates:
            raise TlsError("TLS has no certificate", hint="name a certificate and its key in edge.tls")
        if settings.client_certificate is not ClientCertificate.NONE and settings.client_ca is None:
            raise TlsError(
                "clients must show a certificate, and nothing says whose", hint="name a file in client_ca"
            )
        self._settings = settings
        self._problems: dict[Certificate, TlsError] = {}
        self._install([_load(settings, each, last=at == 0) for at, each in enumerate(settings.certificates)])
        self.context = _context(settings)
        self.context.sslobject_class = ServerSideObject
        # The ssl module's types say SSLSocket or SSLObject, and the callback's result may be an alert.
        self.context.sni_callback = self._choose

    @property
    def certificates(self) -> tuple[LoadedCertificate, ...]:
        """Those in use, in the order of the settings."""
        return self._loaded

    @property
    def problems(self) -> tuple[TlsError, ...]:
        """Why some certificates in use are older than their files; empty when all is well."""
        return tuple(self._problems.values())

    def chosen(self, name: str | None) -> LoadedCertificate:
        """The certificate for a name in SNI: the name itself, a wildcard for its first label, the first one.

        Where several certificates hold a name, the first of them is shown.
        """
        if name is not None:
            found = self._by_name.get(name)
            if found is None:
                label, dot, parent = name.partition(".")
                found = self._by_name.get(f"*.{parent}") if label and dot else None
            if found is not None:
                return found
        return self._loaded[0]

    def reload(self) -> tuple[TlsError, ...]:
        """Take up files that have changed; returns what is newly wrong, said once per state of affairs.

        What cannot be used leaves the certificate before it in force, and is tried again at the next call: a
        certificate and its key are two files, and are seldom replaced in one moment. Reads files; call it
        from the loop's thread, now and then.
        """
        news: list[TlsError] = []
        loaded: list[LoadedCertificate] = []
        for at, old in enumerate(self._loaded):
            current = old
            if old.is_current:
                self._problems.pop(old.certificate, None)
            else:
                try:
                    current = _load(self._settings, old.certificate, last=at == 0)
                    self._problems.pop(old.certificate, None)
                except TlsError as error:
                    known = self._problems.get(old.certificate)
                    if known is None or str(known) != str(error):
                        self._problems[old.certificate] = error
                        news.append(error)
            loaded.append(current)
        if loaded != list(self._loaded):
            self._install(loaded)
        return tuple(news)

    def _install(self, loaded: Sequence[LoadedCertificate]) -> None:
        by_name: dict[str, LoadedCertificate] = {}
        for each in loaded:
            for name in each.names:
                by_name.setdefault(name, each)
        self._loaded = tuple(loaded)
        self._by_name = by_name

    def _choose(self, tls: ssl.SSLSocket | ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """OpenSSL calls this in every handshake, with None if the client named nothing."""
        asked = name.lower().removesuffix(".") if name else None
        if isinstance(tls, ServerSideObject):
            tls.asked_name = asked
        tls.context = self.chosen(asked).context


def _context(settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    harden(context, _VERSIONS[settings.minimum_version])
    context.verify_mode = _MODES[settings.client_certificate]
    return context


def _load(settings: TlsSettings, certificate: Certificate, *, last: bool) -> LoadedCertificate:
    """last: whether it is the last resort, shown to who names no other, so that it needs no names."""
    paths = [certificate.chain, certificate.key]
    asks = settings.client_certificate is not ClientCertificate.NONE
    if asks and settings.client_ca is not None:
        paths.append(settings.client_ca)
    # Looked at before they are read: what is written meanwhile shows as a change at the next look.
    files = tuple(map(FileState.now, paths))
    facts = read_facts(certificate.chain)
    if not facts.names and not last:
        raise TlsError(
            f"{certificate.chain}: the certificate holds no names (SubjectAltName), so it is never shown",
            hint="have it issued with its names, or put it first",
        )
    context = _context(settings)
    load_pair(context, certificate)
    if asks and settings.client_ca is not None:
        load_roots(context, settings.client_ca, "client_ca")
    if tuple(map(FileState.now, paths)) != files:
        raise TlsError(
            f"{certificate.chain}: its files change while they are read", hint="wait for the writer"
        )
    return LoadedCertificate(certificate, facts.names, facts.expires, context, files)
