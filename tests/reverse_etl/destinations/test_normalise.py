"""Values as the vendors want them: their own vectors, names of any script, and what is hashed already."""

from __future__ import annotations

import base64
import csv
import hashlib
from collections.abc import Sequence

import duckdb
import pytest

from reverse_etl.destination_spec import Hash, Normalisation
from reverse_etl.normalise import normalised
from tests.reverse_etl.destinations.shared import shared_data

PROCESSED: dict[str, Normalisation] = {
    "email": "email_google",
    "phone": "phone_e164",
    "given_name": "name",
    "family_name": "name",
}
META: dict[str, Normalisation] = {
    "f5first": "name_meta_5",
    "f5last": "name_meta_5",
    "fi": "initial_meta",
    "dobd": "birth_day",
    "dobm": "birth_month",
    "doby": "birth_year",
    "em": "email_meta",
}

# One database for all: nothing is kept in it.
CON = duckdb.connect()


def through(how: Normalisation | None, hashed: Hash | None, values: Sequence[str | None]) -> list[str | None]:
    """All values in one statement, as the plan does it."""
    given = "(select generate_subscripts(?::varchar[], 1) as position, unnest(?::varchar[]) as value)"
    query = f"select {normalised('value', how, hashed)} from {given} order by position"
    return [row[0] for row in CON.execute(query, [list(values), list(values)]).fetchall()]


def one(how: Normalisation | None, hashed: Hash | None, value: str | None) -> str | None:
    return through(how, hashed, [value])[0]


def google(operation: str, given: str) -> str:
    """What our SQL makes of a vector's input; the vendor's base64 is the same digest in other letters."""
    simple: dict[str, tuple[Normalisation | None, Hash | None]] = {
        "format_email": ("email_google", None),
        "format_phone": ("phone_e164", None),
        "sha256_hex": (None, "sha256"),
        "region_code": ("country", None),
        "postal_code": ("trim", None),
    }
    if operation in simple:
        return one(*simple[operation], given) or ""
    field, encoding = operation.removeprefix("process_").rsplit("_", 1)
    digest = one(PROCESSED[field], "sha256", given) or ""
    return base64.b64encode(bytes.fromhex(digest)).decode() if encoding == "base64" else digest


@pytest.mark.shared_data
def test_all_vectors_of_google() -> None:
    """googleads/data-manager-python, tests of its formatter. Its errors are nulls here."""
    with (shared_data("vendor_google") / "google_datamanager_formatter_vectors.csv").open(encoding="utf-8") as file:
        vectors = list(csv.DictReader(file))
    wrong = [v for v in vectors if google(v["operation"], v["input"]) != v["expected"]]
    assert (wrong, len(vectors)) == ([], 46)


@pytest.mark.shared_data
def test_all_vectors_of_meta() -> None:
    """The Meta business SDK's normalisation: plain value, digest, error (null here), digest that passes."""
    with (shared_data("vendor_meta") / "meta_business_sdk_normalize_vectors.csv").open(encoding="utf-8") as file:
        vectors = list(csv.DictReader(file, escapechar=None))
    assert {vector["field"] for vector in vectors} <= set(META)
    wrong = []
    for vector in vectors:
        how, given = META[vector["field"]], vector["input"]
        # A digest that passes is plain text to a field that is not hashed.
        plain = one(how, None, given) if vector["kind"] != "already_hashed" else vector["expected_normalized"]
        found = (plain or "", one(how, "sha256", given) or "")
        if found != (vector["expected_normalized"], vector["expected_sha256"]):
            wrong.append(vector)
    assert (wrong, len(vectors)) == ([], 58)


@pytest.mark.parametrize(
    ("given", "google_form", "meta_form"),
    [
        ("张三", "张三", "张三"),
        ("  欧阳 娜娜 ", "欧阳 娜娜", "欧阳娜娜"),
        ("Ærøskøbing-Ødegård", "ærøskøbing-ødegård", "ærøskøbingødegård"),
        ("ИВАН", "иван", "иван"),
        ("محمد", "محمد", "محمد"),
        ("O'Neill, Jr.", "o'neill, jr.", "oneilljr"),
        ("नरेन्द्र", "नरेन्द्र", "नरेन्द्र"),
        ("　山田　", "山田", "山田"),
    ],
)
def test_names_of_any_script_keep_their_letters(given: str, google_form: str, meta_form: str) -> None:
    assert one("name", None, given) == google_form
    assert one("name_meta", None, given) == meta_form
    empty = hashlib.sha256(b"").hexdigest()
    assert empty not in (one("name", "sha256", given), one("name_meta", "sha256", given))
    assert one("name_meta", "sha256", given) == hashlib.sha256(meta_form.encode()).hexdigest()


@pytest.mark.parametrize("how", ["email_google", "email_meta", "phone_digits", "name_meta", "name", "birth_day"])
def test_what_is_hashed_already_passes_and_nothing_is_the_digest_of_nothing(how: Normalisation) -> None:
    digest = hashlib.sha256(b"somebody").hexdigest()
    found = through(how, "sha256", [digest, f" {digest.upper()} ", "", "   ", None])
    assert found == [digest, digest, None, None, None]


@pytest.mark.parametrize(
    ("given", "digits"),
    [
        ("+374 93 828222", "37493828222"),
        ("0086 138-0013-8000", "8613800138000"),
        ("（＋８６）１３８００１３８０００", "8613800138000"),
        ("+44\u2011113\u2011496\u20110987", "441134960987"),
        ("none", None),
    ],
)
def test_phones_of_meta_and_tiktok_are_digits_without_plus_and_leading_zeros(given: str, digits: str | None) -> None:
    assert one("phone_digits", None, given) == digits
    assert one("phone_e164", None, given) == (None if digits is None else f"+{digits}")


def test_the_hash_tiktok_publishes_is_of_digits_without_a_plus() -> None:
    """ads.tiktok.com, "Customer file": its example's digest is the one of 37493828222."""
    assert one("phone_digits", "sha256", "+37493828222") == hashlib.sha256(b"37493828222").hexdigest()
