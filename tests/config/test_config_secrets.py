"""What may hold a secret never shows in errors and warnings, wherever in its section a mistake puts it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_file import checked
from pydantic import BaseModel

from gslb.config.bearing import StickyEntry
from gslb.config.document import KeyPath
from gslb.config.findings import SECRETS, mask_logins
from gslb.config.models import RedisSection
from gslb.config.name_servers import CookiesEntry, KeyEntry, TransferEntry

REGIONS = "regions: {a: {coordinates: [1, 2], edges: [{addresses: [192.0.2.1]}]}}\n"
SECRET = "c2VjcmV0SEKRITc2VjcmV0cc=="
URL = f"redis://user:{SECRET}@h/0"

MISPLACED = [
    f'redis: "{URL}"',
    f'redis: ["{URL}"]',
    f'redis: {{poll: "{SECRET}"}}',
    f'redis: {{url: "http://u:{SECRET}@h"}}',
    f'redis: {{url: "redis://h/0?password={SECRET}&no=1"}}',
    f'redis: {{url: "redis://h/0?db={SECRET}"}}',
    f'redis: {{"{SECRET}": }}',
    f"redis: {{{SECRET.rstrip('=')}: 1}}",
    f'dns: {{keys: {{k: {{algorithm: "{SECRET}", secret: hmac-sha256}}}}}}',
    f'dns: {{keys: {{"{SECRET}": {{secret: k}}}}}}',
    f'dns: {{keys: {{k: {{"{SECRET}": secret}}}}}}',
    f"dns: {{keys: {{A{SECRET.rstrip('=')}: {{secret: aaaa}}, a{SECRET.rstrip('=')}: {{secret: aaaa}}}}}}",
    f'dns: {{cookies: {{enabled: "{SECRET}"}}}}',
    f'dns: {{cookies: {{"{SECRET}": true}}}}',
    f'zones: {{s.example: {{records: "", transfers: [{{key: "{SECRET}"}}]}}}}',
    f'zones: {{s.example: {{records: "", transfers: [{{key: "{SECRET.rstrip("=")}"}}]}}}}',
    f'zones: {{s.example: {{records: "", transfers: ["{SECRET}"]}}}}',
    f'zones: {{s.example: {{records: "", transfers: [{{"{SECRET}": 1}}]}}}}',
    f'checks: {{c: {{type: http, headers: "Authorization: {SECRET}"}}}}',
    f'checks: {{c: {{type: http, headers: ["Authorization: {SECRET}"]}}}}',
    f'checks: {{c: {{type: http, headers: {{"Authorization {SECRET}": x}}}}}}',
    f'checks: {{c: {{type: http, headers: {{Authorization: "{SECRET}\\n"}}}}}}',
    f'checks: {{c: {{type: http, headers: {{Authorization: ["{SECRET}"]}}}}}}',
    f"checks: {{c: {{type: tcp, send: [{SECRET}]}}}}",
    # A URL in the wrong place altogether.
    f'geo: {{poll: "{URL}"}}',
    f'"{URL}": x',
    f'geo: {{"{URL}": x}}',
    f'zones: {{"{URL}": {{records: ""}}}}',
    f'zones: {{s.example: {{records: "a 1 TXT {URL} \\"{URL}"}}}}',
    f'zones: {{s.example: {{records: "a 1 {URL} x"}}}}',
    f'redis: {{url: "{URL}", "{URL}": 1, "{URL}": 2}}',
]


@pytest.mark.parametrize("text", MISPLACED)
def test_no_error_shows_a_secret_or_a_part_of_it(tmp_path: Path, text: str) -> None:
    result = checked(tmp_path, f"{REGIONS}{text}\n")
    assert result.errors
    assert "SEKRIT" not in "".join(map(str, (*result.errors, *result.warnings))).upper()


def test_a_file_that_is_only_a_url_does_not_show_it(tmp_path: Path) -> None:
    (problem,) = checked(tmp_path, f'"{URL}"\n').errors
    assert problem.message == "the file must hold a mapping, and not 'redis://…@h/0'"


def test_what_is_wrong_with_a_header_is_said_without_the_header(tmp_path: Path) -> None:
    text = f'{REGIONS}checks: {{c: {{type: http, headers: {{"Bad {SECRET}": x}}}}}}\n'
    (problem,) = checked(tmp_path, text).errors
    assert problem.message == "checks.c.headers: '…' is not a header name"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("'redis://:p@h/0' is", "'redis://…@h/0' is"),
        ("http://u:p/ss@w d@h", "http://…@h"),
        ("https://cdn.net/", "https://cdn.net/"),
        ("add `@ IN SOA …`", "add `@ IN SOA …`"),
    ],
)
def test_the_login_of_a_url_is_left_out(text: str, shown: str) -> None:
    assert mask_logins(text) == shown


def test_the_keys_that_may_show_are_those_that_there_are() -> None:
    models: dict[KeyPath, type[BaseModel]] = {
        ("redis",): RedisSection,
        ("dns", "keys"): KeyEntry,
        ("dns", "cookies"): CookiesEntry,
        ("zones", "*", "transfers"): TransferEntry,
        ("pools", "*", "sticky"): StickyEntry,
    }
    assert {place: keys for place, keys in SECRETS.items() if keys} == {
        place: frozenset(model.model_fields) for place, model in models.items()
    }
