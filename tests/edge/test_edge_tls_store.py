"""Clients are shown the right certificate, and files may change under a running edge."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from edge.tls.error import TlsError
from edge.tls.handshake import Handshake, distinguished_name
from edge.tls.servers import context_to_servers
from edge.tls.store import CertificateStore
from gslb.errors import GslbError
from gslb.fleet import Certificate, ClientCertificate, ServerTls, TlsSettings

AUTHORITY = trustme.CA()
CLIENTS = trustme.CA()


def write_pair(
    folder: Path, name: str, *names: str, authority: trustme.CA = AUTHORITY, **more: object
) -> Certificate:
    issued = authority.issue_cert(*(names or (name,)), **more)  # type: ignore[arg-type]
    files = Certificate(str(folder / f"{name}.pem"), str(folder / f"{name}.key"))
    replace(files.chain, b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    replace(files.key, issued.private_key_pem.bytes())
    return files


def replace(path: str, content: bytes) -> None:
    """As those who renew certificates do it: another file takes the place of the one before."""
    fresh = Path(path + ".new")
    fresh.write_bytes(content)
    os.replace(fresh, path)


def settings(*certificates: Certificate, **more: object) -> TlsSettings:
    return TlsSettings(certificates=certificates, **more)  # type: ignore[arg-type]


def client_context(certificate: Certificate | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    AUTHORITY.configure_trust(context)
    context.check_hostname = False
    if certificate is not None:
        context.load_cert_chain(certificate.chain, certificate.key)
    return context


class Shaken:
    """A handshake over memory, without sockets: both ends after it."""

    def __init__(
        self, store: CertificateStore, name: str | None = None, client: ssl.SSLContext | None = None
    ) -> None:
        up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = store.context.wrap_bio(up, down, server_side=True)
        self.client = (client or client_context()).wrap_bio(down, up, server_hostname=name)
        waiting = [self.client, self.server]
        while waiting:
            end = waiting.pop(0)
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                if not waiting and not up.pending and not down.pending:
                    raise
                waiting.append(end)
        # In TLS 1.3 the client is done before the server has looked at its certificate.
        self.client.write(b"x")
        self.server.read(1)

    @property
    def names(self) -> set[str]:
        shown = self.client.getpeercert()
        assert shown is not None
        pairs: Iterable[tuple[str, str]] = shown["subjectAltName"]  # type: ignore[assignment]
        return {value for _, value in pairs}


@pytest.fixture
def two(tmp_path: Path) -> TlsSettings:
    return settings(
        write_pair(tmp_path, "first", "first.example", "192.0.2.1"),
        write_pair(tmp_path, "shop", "shop.example", "*.shop.example"),
    )


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("first.example", "first.example"),
        ("shop.example", "shop.example"),
        ("SHOP.example", "shop.example"),
        ("www.shop.example", "shop.example"),
        ("a.www.shop.example", "first.example"),
        ("other.example", "first.example"),
        ("example", "first.example"),
        (None, "first.example"),
    ],
)
def test_the_name_a_client_asks_for_chooses_the_certificate(
    two: TlsSettings, asked: str | None, shown: str
) -> None:
    assert shown in Shaken(CertificateStore(two), asked).names


def test_a_name_of_its_own_beats_a_wildcard(tmp_path: Path) -> None:
    wild = write_pair(tmp_path, "wild", "*.shop.example")
    own = write_pair(tmp_path, "own", "www.shop.example")
    store = CertificateStore(settings(wild, own))
    assert store.chosen("www.shop.example").certificate == own
    assert store.chosen("api.shop.example").certificate == wild
    assert store.chosen(".shop.example").certificate == wild  # as the first, not as what fits


def test_of_two_certificates_with_one_name_the_first_is_shown(tmp_path: Path) -> None:
    pairs = [write_pair(tmp_path, name, "a.example") for name in ("one", "two")]
    assert CertificateStore(settings(*pairs)).chosen("a.example").certificate == pairs[0]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_shake_hands_and_tell_what_came_of_it(
    two: TlsSettings, version: ssl.TLSVersion
) -> None:
    client = client_context()
    client.minimum_version = client.maximum_version = version
    client.set_alpn_protocols(["h2", "http/1.1"])
    shaken = Shaken(CertificateStore(two), "WWW.shop.example", client)
    told = Handshake.of(shaken.server)
    assert told.version == ("TLSv1.2" if version == ssl.TLSVersion.TLSv1_2 else "TLSv1.3")
    assert told.cipher.startswith(("ECDHE-", "TLS_"))
    assert (told.server_name, told.client, told.resumed) == ("www.shop.example", None, False)
    assert shaken.client.selected_alpn_protocol() == "http/1.1"
    assert shaken.client.compression() is None


def test_a_client_may_resume_its_session_after_a_reload(two: TlsSettings, tmp_path: Path) -> None:
    store = CertificateStore(two)
    client = client_context()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    first = Shaken(store, "shop.example", client)
    write_pair(tmp_path, "shop", "shop.example")
    assert store.reload() == ()
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = store.context.wrap_bio(up, down, server_side=True)
    again = client.wrap_bio(down, up, server_hostname="shop.example", session=first.client.session)
    for _ in range(3):
        for end in (again, server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert Handshake.of(server).resumed


def test_a_handshake_that_is_not_over_tells_nothing(two: TlsSettings) -> None:
    fresh = CertificateStore(two).context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
    with pytest.raises(ValueError, match="not finished"):
        Handshake.of(fresh)


def test_old_versions_and_weak_ciphers_find_no_one(two: TlsSettings) -> None:
    only_new = CertificateStore(TlsSettings(certificates=two.certificates, minimum_version="1.3"))
    client = client_context()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol"):
        Shaken(only_new, "shop.example", client)
    client.set_ciphers("AES128-SHA")
    with pytest.raises(ssl.SSLError, match=r"(?i)shared cipher"):
        Shaken(CertificateStore(two), "shop.example", client)


def test_clients_are_asked_for_a_certificate_as_the_settings_say(tmp_path: Path) -> None:
    pair = write_pair(tmp_path, "a.example")
    ca = tmp_path / "clients.pem"
    ca.write_bytes(CLIENTS.cert_pem.bytes())
    known = write_pair(tmp_path, "known", "client.example", authority=CLIENTS, common_name="ann, the first")
    foreign = write_pair(tmp_path, "foreign", "client.example")

    def shake(how: ClientCertificate, shown: Certificate | None) -> str | None:
        store = CertificateStore(settings(pair, client_ca=str(ca), client_certificate=how))
        return Handshake.of(Shaken(store, "a.example", client_context(shown)).server).client

    subject = shake(ClientCertificate.OPTIONAL, known)
    assert subject is not None
    assert subject.startswith("CN=ann\\, the first,")
    assert shake(ClientCertificate.OPTIONAL, None) is None
    assert shake(ClientCertificate.NONE, known) is None
    assert shake(ClientCertificate.REQUIRED, known) == subject
    for how, shown in (
        (ClientCertificate.REQUIRED, None),
        (ClientCertificate.REQUIRED, foreign),
        (ClientCertificate.OPTIONAL, foreign),
    ):
        with pytest.raises(ssl.SSLError, match=r"(?i)certificate"):
            shake(how, shown)


def test_a_subject_is_written_so_that_it_can_stand_in_a_field() -> None:
    subject = ((("countryName", "DE"),), (("userId", "#7"), ("commonName", ' Zoë "x"\r\n ')), (("odd", "a"),))
    assert distinguished_name(subject) == 'odd=a,UID=\\#7+CN=\\ Zo\\c3\\ab \\"x\\"\\0d\\0a\\ ,C=DE'


def test_names_and_ends_of_certificates_can_be_read(tmp_path: Path) -> None:
    end = datetime(2033, 3, 4, 5, 6, 7, tzinfo=UTC)
    store = CertificateStore(settings(write_pair(tmp_path, "a.example", not_after=end)))
    (loaded,) = store.certificates
    assert (loaded.names, loaded.expires) == (("a.example",), end.timestamp())


def test_a_reload_shows_the_new_certificate_to_new_handshakes(two: TlsSettings, tmp_path: Path) -> None:
    store = CertificateStore(two)
    before = Shaken(store, "shop.example")
    untouched = store.certificates[0]
    write_pair(tmp_path, "shop", "shop.example", "new.example")
    assert store.reload() == ()
    assert Shaken(store, "new.example").names == {"shop.example", "new.example"}
    assert "first.example" in Shaken(store, "www.shop.example").names
    assert store.certificates[0] is untouched
    before.server.write(b"still here")
    assert before.client.read(10) == b"still here"


def test_a_reload_without_changes_makes_nothing_anew(two: TlsSettings) -> None:
    store = CertificateStore(two)
    before = store.certificates
    assert store.reload() == ()
    assert store.certificates is before


def test_half_a_pair_keeps_the_old_one_until_the_other_half_comes(two: TlsSettings, tmp_path: Path) -> None:
    store = CertificateStore(two)
    shop = two.certificates[1]
    old_key = Path(shop.key).read_bytes()
    write_pair(tmp_path, "shop", "renewed.example")
    new_key = Path(shop.key).read_bytes()
    replace(shop.key, old_key)
    (problem,) = store.reload()
    assert shop.key in str(problem)
    assert "does not fit" in str(problem)
    assert problem.hint
    assert Shaken(store, "shop.example").names == {"shop.example", "*.shop.example"}
    assert store.reload() == ()  # said once
    assert store.problems == (problem,)
    replace(shop.key, new_key)
    assert store.reload() == ()
    assert store.problems == ()
    assert Shaken(store, "renewed.example").names == {"renewed.example"}


def test_a_file_that_vanishes_is_told_and_its_return_is_noticed(two: TlsSettings) -> None:
    store = CertificateStore(two)
    first = two.certificates[0]
    os.rename(first.chain, first.chain + ".away")
    (problem,) = store.reload()
    assert f"{first.chain}: the certificate does not exist" in str(problem)
    os.rename(first.chain + ".away", first.chain)
    assert store.reload() == ()
    assert store.problems == ()


def test_another_client_ca_counts_from_the_next_full_handshake_on(tmp_path: Path) -> None:
    ca = tmp_path / "clients.pem"
    ca.write_bytes(CLIENTS.cert_pem.bytes())
    known = write_pair(tmp_path, "known", "client.example", authority=CLIENTS)
    store = CertificateStore(
        settings(
            write_pair(tmp_path, "a.example"),
            client_ca=str(ca),
            client_certificate=ClientCertificate.REQUIRED,
        )
    )
    Shaken(store, "a.example", client_context(known))
    replace(str(ca), AUTHORITY.cert_pem.bytes())
    assert store.reload() == ()
    with pytest.raises(ssl.SSLError, match=r"(?i)certificate"):
        Shaken(store, "a.example", client_context(known))


def encrypted(path: str) -> None:
    key = serialization.load_pem_private_key(Path(path).read_bytes(), None)
    scheme = serialization.BestAvailableEncryption(b"secret")
    form = serialization.PrivateFormat.PKCS8
    replace(path, key.private_bytes(serialization.Encoding.PEM, form, scheme))


@pytest.mark.parametrize(
    ("spoil", "file", "why"),
    [
        (lambda pair: os.remove(pair.chain), "chain", "does not exist"),
        (lambda pair: os.remove(pair.key), "key", "does not exist"),
        (lambda pair: (os.remove(pair.key), os.mkdir(pair.key)), "key", "is a directory"),
        (lambda pair: os.chmod(pair.key, 0), "key", "may not be read"),
        (lambda pair: replace(pair.chain, b""), "chain", "no certificate in PEM form"),
        (lambda pair: replace(pair.chain, b"\x30\x82\xff\xff"), "chain", "is not UTF-8 text"),
        (lambda pair: replace(pair.key, b"no key"), "key", "no private key in PEM form"),
        (lambda pair: encrypted(pair.key), "key", "is encrypted"),
        (
            lambda pair: replace(
                pair.chain, b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
            ),
            "chain",
            "cannot be read",
        ),
        (
            lambda pair: replace(
                pair.chain, b"-----BEGIN CERTIFICATE-----\nMAA\n-----END CERTIFICATE-----\n"
            ),
            "chain",
            "cannot be read",
        ),
        (
            lambda pair: replace(pair.key, b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"),
            "key",
            "refuses",
        ),
        (lambda pair: replace(pair.chain, AUTHORITY.cert_pem.bytes()), "key", "does not fit"),
    ],
)
def test_files_that_do_not_serve_are_named_with_a_remedy(
    tmp_path: Path, spoil: object, file: str, why: str
) -> None:
    pair = write_pair(tmp_path, "a.example")
    assert callable(spoil)
    spoil(pair)
    if why == "may not be read" and os.access(pair.key, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(TlsError, match=why) as caught:
        CertificateStore(settings(pair))
    assert isinstance(caught.value, GslbError)
    assert getattr(pair, file) in str(caught.value)
    assert caught.value.hint


def test_settings_that_cannot_work_are_refused(tmp_path: Path) -> None:
    pair = write_pair(tmp_path, "a.example")
    with pytest.raises(TlsError, match="no certificate"):
        CertificateStore(TlsSettings())
    with pytest.raises(TlsError, match="nothing says whose"):
        CertificateStore(settings(pair, client_certificate=ClientCertificate.REQUIRED))
    with pytest.raises(TlsError, match="client_ca does not exist"):
        CertificateStore(
            settings(pair, client_certificate=ClientCertificate.OPTIONAL, client_ca=str(tmp_path / "none"))
        )
    empty = tmp_path / "empty"
    empty.write_text("# Zoë's roots\n")
    with pytest.raises(TlsError, match="no usable certificates"):
        CertificateStore(settings(pair, client_certificate=ClientCertificate.OPTIONAL, client_ca=str(empty)))


async def test_open_connections_live_through_a_reload(tmp_path: Path) -> None:
    """Over the real loop: what asyncio and uvloop make of the context, its callback and its own objects."""
    pair = write_pair(tmp_path, "first.example")
    shop = write_pair(tmp_path, "shop.example")
    roots = tmp_path / "roots.pem"
    roots.write_bytes(AUTHORITY.cert_pem.bytes())
    store = CertificateStore(settings(pair, shop))
    told: list[Handshake] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told.append(Handshake.of(writer.get_extra_info("ssl_object")))
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    trusting = context_to_servers(ServerTls(ca=str(roots)))
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=store.context)
    async with server:
        port = server.sockets[0].getsockname()[1]

        async def connect(name: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname=name)

        reader, writer = await connect("shop.example")
        write_pair(tmp_path, "shop.example", "shop.example", "late.example")
        assert store.reload() == ()
        later_reader, later_writer = await connect("late.example")
        for said, heard in ((writer, reader), (later_writer, later_reader)):
            said.write(b"hello\n")
            assert await heard.readline() == b"hello\n"
            said.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect("nobody.example")
        await asyncio.gather(writer.wait_closed(), later_writer.wait_closed())
    assert [each.server_name for each in told[:2]] == ["shop.example", "late.example"]


async def test_a_name_that_is_not_ascii_ends_its_handshake_and_fills_no_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    store = CertificateStore(settings(write_pair(tmp_path, "first.example")))
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context().wrap_bio(up, down, server_hostname="strange.example")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    hello = down.read().replace(b"strange.", b"str\xff\xfege.")
    before = sys.unraisablehook
    served = asyncio.Event()
    async with await asyncio.start_server(
        lambda *_: served.set(), "127.0.0.1", 0, ssl=store.context
    ) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(hello)
        assert (await reader.read())[:1] in (b"\x15", b"")  # an alert, or just the end
        writer.close()
        await writer.wait_closed()
    assert not served.is_set()
    assert sys.unraisablehook is before
    assert "Traceback" not in capfd.readouterr().err
