"""Reads one certificate with its key, or says in a sentence which file is at fault and what to do."""

from __future__ import annotations

import binascii
import re
import ssl
from dataclasses import dataclass
from pathlib import Path

from edge.tls.certificate import CertificateFacts, DerError, certificate_facts
from edge.tls.error import TlsError
from gslb.config.textfile import Signature, UnreadableError, read_text, signature
from gslb.fleet import Certificate

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
_PRIVATE_KEY = re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")


@dataclass(frozen=True, slots=True)
class FileState:
    """A file as it was when it was read. signature: see gslb.config.textfile."""

    path: str
    signature: Signature

    @classmethod
    def now(cls, path: str) -> FileState:
        return cls(path, signature(path))


def read_file(path: str, what: str) -> str:
    """The text of a file in PEM form; `what` it is goes into the TlsError that tells why it cannot be had."""
    try:
        return read_text(Path(path))
    except UnreadableError as error:
        hint = error.hint
        if error.before is not None:
            hint = "it must be in PEM form; `openssl x509 -inform der` or `openssl pkey -inform der` converts"
        raise TlsError(f"{path}: the {what} {error.what}", hint=hint) from None


def read_facts(path: str) -> CertificateFacts:
    """The facts of the first certificate in a file in PEM form. Raises TlsError."""
    found = _CERTIFICATE.search(read_file(path, "certificate"))
    if found is None:
        raise TlsError(
            f"{path}: the certificate file has no certificate in PEM form",
            hint="it must hold the certificate, then those between it and the root",
        )
    try:
        return certificate_facts(binascii.a2b_base64("".join(found[1].split()), strict_mode=True))
    except (DerError, binascii.Error) as error:
        raise TlsError(
            f"{path}: the first certificate in the file cannot be read: {error}",
            hint="copy the file anew from where it was issued",
        ) from None


def load_pair(context: ssl.SSLContext, certificate: Certificate) -> None:
    """Put a certificate and its key into `context`. Raises TlsError; the context is then of no use."""
    chain, key = certificate.chain, certificate.key
    if _PRIVATE_KEY.search(read_file(key, "private key")) is None:
        raise TlsError(
            f"{key}: the private key file has no private key in PEM form",
            hint="it must hold a block that begins with BEGIN PRIVATE KEY",
        )

    def refuse_password() -> str:
        # Else OpenSSL would ask for one at the terminal.
        raise TlsError(
            f"{key}: the private key is encrypted",
            hint="decrypt it with `openssl pkey`, and let only this user read the file",
        )

    try:
        context.load_cert_chain(chain, key, password=refuse_password)
    except ssl.SSLError as error:
        raise _not_loaded(certificate, error) from None
    except OSError as error:
        raise TlsError(
            f"{chain}: this certificate or its key {key} cannot be read: {error.strerror or error}",
            hint="check both paths",
        ) from None


def _not_loaded(certificate: Certificate, error: ssl.SSLError) -> TlsError:
    chain, key = certificate.chain, certificate.key
    reason = error.reason or str(error)
    if reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
        return TlsError(
            f"{key}: the private key does not fit the certificate {chain}",
            hint="the chain must begin with the server's own certificate, and the key must be that one's",
        )
    words = reason.replace("_", " ").lower()
    return TlsError(
        f"{chain}: OpenSSL refuses this certificate or its key {key}: {words}",
        hint="both must be whole and in PEM form, with a key that today's rules do not call too small",
    )


def load_roots(context: ssl.SSLContext, path: str, what: str) -> None:
    """Trust the certificates in a file in PEM form. Raises TlsError."""
    text = read_file(path, what)
    try:
        # The ssl module takes ASCII; what else there is stands in remarks around the certificates.
        context.load_verify_locations(cadata=text.encode("ascii", "ignore").decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise TlsError(
            f"{path}: the {what} has no usable certificates: {reason.replace('_', ' ').lower()}",
            hint="it must hold one or more certificates in PEM form",
        ) from None
