"""Reads a world's files the way a stranger would: with the standard library, from the documentation alone."""

from __future__ import annotations

import csv
import json
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

DATES = [
    (re.compile(r"\d{4}-\d\d-\d\d"), "%Y-%m-%d"),
    (re.compile(r"\d{4}/\d\d/\d\d"), "%Y/%m/%d"),
    (re.compile(r"\d\d\.\d\d\.\d{4}"), "%d.%m.%Y"),
]
JSONL_KEYS = {
    "website/events": "messageId",
    "app/events": "messageId",
    "nps/answers": "response_id",
    "consent/consents": "consent_id",
    "wechat_oa/followers": "openid",
    "crm/contacts": "id",
    "crm/leads": "id",
    "crm/opportunities": "id",
    "crm/stage_history": "id",
    "support/tickets": "id",
}
CSV_FILES = {
    "pos/receipts": (";", lambda row: row["receipt_no"], "sold_at"),
    "forms/registrations": (",", lambda row: row["registration_id"], "registered_at"),
    "forms/checkins": (",", lambda row: row["registration_id"], "scanned_at"),
    "coupons/coupons": (",", lambda row: f"{row['coupon_code']}/{row['event']}", "occurred_at"),
}
SHOP_KEYS = {"customers": "customer_id", "orders": "order_id", "order_lines": "order_line_id", "refunds": "refund_id"}


@dataclass
class Found:
    """What a source object holds: rows that can be read, and the number of those that cannot."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    unreadable: int = 0


def paths(world: Path, file: str) -> list[Path]:
    """The files of an object in the order of their days."""
    folder, name = file.split("/")
    return sorted(
        p for p in (world / "sources" / folder).iterdir() if re.fullmatch(rf"{name}(-\d{{4}}-\d\d-\d\d)?\.\w+", p.name)
    )


def read(world: Path, file: str) -> Found:
    """All rows of a text object."""
    found = Found()
    for path in paths(world, file):
        for row in _csv(path, file) if file in CSV_FILES else _jsonl(path):
            if row is None:
                found.unreadable += 1
            else:
                found.rows.append(row)
    return found


def read_parquet(world: Path, file: str) -> list[dict[str, Any]]:
    """All rows of a daily Parquet object."""
    return [row for path in paths(world, file) for row in pq.read_table(path).to_pylist()]


def read_shop(world: Path, table: str) -> list[dict[str, Any]]:
    """All rows of a table of the shop."""
    shop = sqlite3.connect(f"file:{world / 'sources/shop/shop.sqlite'}?mode=ro", uri=True)
    try:
        shop.row_factory = sqlite3.Row
        return [dict(row) for row in shop.execute(f"select * from {table}")]
    finally:
        shop.close()


def record_keys(world: Path) -> dict[str, set[str]]:
    """The keys of all readable records by `<source>.<table>`."""
    keys: dict[str, set[str]] = {}
    for file, key in JSONL_KEYS.items():
        keys[file.replace("/", ".")] = {str(row[key]) for row in read(world, file).rows}
    for file, (_, key_of, _) in CSV_FILES.items():
        keys[file.replace("/", ".")] = {key_of(row) for row in read(world, file).rows}
    for table, key in SHOP_KEYS.items():
        keys[f"shop.{table}"] = {row[key] for row in read_shop(world, table)}
    contacts = read(world, "wecom/external_contacts").rows
    keys["wecom.external_contacts"] = {f"{row['userid']}/{row['external_userid']}" for row in contacts}
    keys["mini_program.users"] = {row["openid"] for row in read_parquet(world, "mini_program/users")}
    keys["ads.clicks"] = {row["click_id"] for row in read_parquet(world, "ads/clicks")}
    return keys


def truth(world: Path, name: str) -> list[dict[str, Any]]:
    """Rows of a truth file."""
    return list(pq.read_table(world / "truth" / f"{name}.parquet").to_pylist())


def _jsonl(path: Path) -> Iterator[dict[str, Any] | None]:
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            yield None


def _csv(path: Path, file: str) -> Iterator[dict[str, Any] | None]:
    delimiter, _, date_column = CSV_FILES[file]
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.reader(lines, delimiter=delimiter)
        header = next(rows)
        for row in rows:
            record = dict(zip(header, row, strict=False))
            yield record if len(row) == len(header) and _dates_exist(row, record[date_column]) else None


def _dates_exist(row: list[str], date_text: str) -> bool:
    for pattern, form in DATES:
        for text in row:
            for found in pattern.findall(text):
                try:
                    datetime.strptime(found, form)  # noqa: DTZ007 - only whether the day exists
                except ValueError:
                    return False
    return any(pattern.match(date_text) for pattern, _ in DATES)
