"""Certificates, keys and roots that no edge could use are told before one is started."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from fleet_file import GOOD, broken
from typer.testing import CliRunner

from gslb.cli import app
from gslb.config import CheckResult, check, load
from gslb.errors import ConfigError

AUTHORITY = trustme.CA()
LISTENING = broken(
    "edges: [{addresses: [192.0.2.1]}]",
    'edges: [{addresses: [192.0.2.1], listen: {address: "0.0.0.0:443", tls: true}}]',
)
WITH_TLS = LISTENING + "edge:\n  tls:\n    certificates:\n    - {chain: tls/c.pem, key: tls/k.pem}\n"
CHAIN, KEY = "35:15: edge.tls.certificates[0].chain: ", "35:31: edge.tls.certificates[0].key: "


def write(directory: Path, *, end: datetime | None = None) -> trustme.LeafCert:
    """A pair in the folder `tls`, and the roots it comes from."""
    leaf = AUTHORITY.issue_cert("www.shop.example", not_after=end)
    (directory / "tls").mkdir(exist_ok=True)
    (directory / "tls" / "c.pem").write_bytes(b"".join(each.bytes() for each in leaf.cert_chain_pems))
    (directory / "tls" / "k.pem").write_bytes(leaf.private_key_pem.bytes())
    AUTHORITY.cert_pem.write_to_path(str(directory / "tls" / "roots.pem"))
    return leaf


def looked_at(
    directory: Path, text: str = WITH_TLS, environment: dict[str, str] | None = None
) -> CheckResult:
    file = directory / "regions.yaml"
    file.write_text(text)
    return check(file, environment=environment or {}, certificates=True)


def told(result: CheckResult, directory: Path) -> list[str]:
    prefix = f"{directory / 'regions.yaml'}:"
    return [str(each).removeprefix(prefix) for each in (*result.errors, *result.warnings)]


def test_a_good_pair_is_named_by_its_paths(tmp_path: Path) -> None:
    write(tmp_path)
    result = looked_at(tmp_path)
    assert told(result, tmp_path) == []
    assert result.fleet is not None
    (pair,) = result.fleet.edge.tls.certificates
    assert pair.chain == str(tmp_path / "tls" / "c.pem")
    assert pair.key == str(tmp_path / "tls" / "k.pem")


def test_a_file_may_lie_anywhere(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "etc").mkdir()
    text = WITH_TLS.replace("tls/c.pem", str(tmp_path / "tls" / "c.pem")).replace("tls/k", "../tls/k")
    assert looked_at(tmp_path / "etc", text).errors == ()


def test_files_that_are_not_there_are_all_told(tmp_path: Path) -> None:
    pool = "web: {check: quick, tls: {ca: roots.pem, certificate: {chain: a.pem, key: b.pem}}}"
    text = WITH_TLS.replace("web: {check: quick}", pool).replace(
        "  tls:\n", "  tls:\n    client_ca: clients.pem\n    client_certificate: optional\n"
    )
    assert told(looked_at(tmp_path, text), tmp_path) == [
        f"{place}: '{file}' does not exist; check the path"
        for place, file in (
            ("29:33: pools.web.tls.ca", "roots.pem"),
            ("29:65: pools.web.tls.certificate.chain", "a.pem"),
            ("29:77: pools.web.tls.certificate.key", "b.pem"),
            ("34:16: edge.tls.client_ca", "clients.pem"),
            ("37:15: edge.tls.certificates[0].chain", "tls/c.pem"),
            ("37:31: edge.tls.certificates[0].key", "tls/k.pem"),
        )
    ]


def test_who_has_no_edge_needs_none_of_the_files(tmp_path: Path) -> None:
    file = tmp_path / "regions.yaml"
    file.write_text(WITH_TLS)
    assert load(file, environment={}).edge.tls.certificates
    with pytest.raises(ConfigError, match=r"tls/c\.pem' does not exist"):
        load(file, environment={}, certificates=True)


def test_the_command_that_checks_a_file_looks_into_all_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "regions.yaml").write_text(WITH_TLS)
    result = CliRunner().invoke(app, ["check", str(tmp_path / "regions.yaml")])
    assert result.exit_code == 2
    assert "edge.tls.certificates[0].key: 'tls/k.pem' does not exist; check the path" in result.stderr


def test_beside_one_that_is_written_wrong_no_other_is_told_of_in_its_place(tmp_path: Path) -> None:
    text = WITH_TLS.replace("    - {chain", "    - {chain: a.pem}\n    - {chain")
    (found,) = told(looked_at(tmp_path, text), tmp_path)
    assert "edge.tls.certificates[0]: `key` is missing" in found


def test_a_key_of_another_certificate_is_told(tmp_path: Path) -> None:
    write(tmp_path)
    other = AUTHORITY.issue_cert("api.shop.example")
    (tmp_path / "tls" / "k.pem").write_bytes(other.private_key_pem.bytes())
    assert told(looked_at(tmp_path), tmp_path) == [
        f"{KEY}'tls/k.pem' is not the key of this certificate; name the key that the certificate was made "
        "for; in `chain` that certificate comes first"
    ]


def test_a_key_with_a_password_is_told_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    leaf = write(tmp_path)
    key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2"))
    (tmp_path / "tls" / "k.pem").write_bytes(locked)
    (found,) = told(looked_at(tmp_path), tmp_path)
    assert found.startswith(f"{KEY}'tls/k.pem' wants a password; ")


def test_files_with_something_else_in_them_are_told(tmp_path: Path) -> None:
    leaf = write(tmp_path)
    (tmp_path / "tls" / "c.pem").write_bytes(leaf.private_key_pem.bytes())
    assert told(looked_at(tmp_path), tmp_path) == [
        f"{CHAIN}'tls/c.pem' holds no certificate; name a file in PEM form: it has a line "
        "`-----BEGIN CERTIFICATE-----`"
    ]
    write(tmp_path)
    (tmp_path / "tls" / "k.pem").write_bytes(leaf.cert_chain_pems[0].bytes())
    (found,) = told(looked_at(tmp_path), tmp_path)
    assert found.startswith(f"{KEY}'tls/k.pem' holds no private key; ")


@pytest.mark.parametrize("file", ["c.pem", "k.pem"])
def test_a_damaged_file_is_told(tmp_path: Path, file: str) -> None:
    write(tmp_path)
    damaged = tmp_path / "tls" / file
    lines = damaged.read_text().splitlines()
    damaged.write_text("\n".join([lines[0], "AAAA", *lines[2:]]))
    (found,) = told(looked_at(tmp_path), tmp_path)
    assert "edge.tls.certificates[0]: the certificate or its key cannot be used: " in found


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (15, None),
        (13, "ends on {day}, in 13 days"),
        (0.1, "ends on {day}, in 0 days"),
        (-1, "ended on {day}"),
    ],
)
def test_a_certificate_that_ends_soon_is_warned_of(tmp_path: Path, days: float, said: str | None) -> None:
    end = datetime.now(UTC) + timedelta(days=days)
    write(tmp_path, end=end)
    result = looked_at(tmp_path)
    assert result.fleet is not None
    words = said.format(day=f"{end:%Y-%m-%d %H:%M} UTC") if said else None
    assert told(result, tmp_path) == (
        [f"{CHAIN}the certificate in 'tls/c.pem' {words}; put a new one in its place"] if words else []
    )


def test_roots_are_looked_at_too(tmp_path: Path) -> None:
    write(tmp_path)
    clients = "    client_ca: tls/roots.pem\n    client_certificate: required\n"
    text = WITH_TLS.replace("  tls:\n", f"  tls:\n{clients}")
    assert told(looked_at(tmp_path, text), tmp_path) == []
    (found,) = told(looked_at(tmp_path, text.replace("roots.pem", "k.pem")), tmp_path)
    assert found.startswith("34:16: edge.tls.client_ca: 'tls/k.pem' holds no certificate; ")
    (tmp_path / "tls" / "roots.pem").write_text(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    )
    (found,) = told(looked_at(tmp_path, text), tmp_path)
    assert found.startswith("34:16: edge.tls.client_ca: 'tls/roots.pem' holds a damaged certificate; ")


def test_a_single_certificate_needs_no_list(tmp_path: Path) -> None:
    single = WITH_TLS.replace("certificates:\n    - {", "certificates: {")
    assert told(looked_at(tmp_path, single), tmp_path)[0].startswith(
        "34:27: edge.tls.certificates.chain: 'tls/c.pem' does not exist"
    )


def test_a_name_from_the_environment_does_not_show(tmp_path: Path) -> None:
    text = WITH_TLS.replace("tls/c.pem", '"${CHAIN}"').replace("tls/k.pem", '"${KEY}"')
    found = told(looked_at(tmp_path, text, {"CHAIN": "hunter2", "KEY": "hunter3"}), tmp_path)
    assert len(found) == 2
    assert "hunter" not in " ".join(found)


def test_no_file_of_an_edge_matters_where_nothing_is_said_of_one(tmp_path: Path) -> None:
    assert looked_at(tmp_path, GOOD).errors == ()
