"""Writes the tables of a world as the files its sources would deliver."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb

from demo.world.summary import STARTED_ON, WorldArguments, WorldSummary

LINES = "(format csv, header false, quote '', escape '', delimiter '')"
"""A text column written as it is: no quotes, no escapes."""


@dataclass(frozen=True)
class DailyText:
    """A daily text file of `text_row`: its header and the columns that it gains at the middle of the horizon."""

    file: str
    extension: str
    header: str = ""
    later_columns: str = ""

    def header_on(self, day: int, horizon: int) -> str:
        """The header line of a day's file; empty for JSON lines."""
        return self.header + (self.later_columns if day >= horizon // 2 else "")


@dataclass(frozen=True)
class EventDays:
    """Days whose events are written out together."""

    is_app: bool
    first_day: int
    last_day: int


EVENTS_AT_ONCE = 40_000
"""Events whose text is in memory at once, per thread: about 32 MB. Planning the statement takes 40 ms, so not fewer."""

DAILY_TEXTS = (
    DailyText(
        "pos/receipts",
        "csv",
        "\ufeffreceipt_no;line_no;store;store_time_zone;sold_at;card_no;phone;sku;qty;amount;currency",
    ),
    DailyText(
        "forms/registrations",
        "csv",
        "registration_id,form_id,form_name,name,email,phone,company,campaign,registered_at",
        ",job_title",
    ),
    DailyText("forms/checkins", "csv", "registration_id,booth,scanned_at,scanned_by"),
    DailyText("ads/spend", "csv", "date,platform,campaign_id,campaign,impressions,clicks,cost,currency"),
    DailyText(
        "coupons/coupons",
        "csv",
        "event,coupon_code,campaign,user_id,phone,openid,value_cents,currency,order_id,occurred_at",
    ),
    DailyText("nps/answers", "jsonl"),
    DailyText("consent/consents", "jsonl"),
)

DAILY_PARQUET = {
    "mini_program/users": ("mini_program_users", "row_no"),
    "ads/clicks": ("ads_clicks", "clicked_at, row_no"),
}

BACKING_FILES = (
    "wechat_oa/followers", "wecom/follow_users", "wecom/corp_tags", "wecom/external_contacts",
    "crm/accounts", "crm/contacts", "crm/leads", "crm/opportunities", "crm/stage_history", "support/tickets",
)  # fmt: skip

TRUTH = {
    "persons": "truth_person",
    "record_person": "truth_record",
    "identifier_person": "truth_identifier",
    "person_account": "truth_person_account",
    "malformed": "truth_malformed",
    "person_mess": "(select * from person_mess order by all)",
}

SHOP_TABLES = {
    "customers": [
        "customer_id TEXT PRIMARY KEY", "user_id TEXT", "email TEXT", "phone TEXT", "first_name TEXT", "last_name TEXT",
        "loyalty_card_no TEXT", "country TEXT NOT NULL", "is_guest INTEGER NOT NULL", "created_at TEXT NOT NULL",
        "updated_at TEXT NOT NULL",
    ],
    "orders": [
        "order_id TEXT PRIMARY KEY", "customer_id TEXT NOT NULL", "channel TEXT NOT NULL", "status TEXT NOT NULL",
        "currency TEXT NOT NULL", "total_cents INTEGER NOT NULL", "discount_cents INTEGER NOT NULL", "coupon_code TEXT",
        "created_at TEXT NOT NULL", "paid_at TEXT", "shipped_at TEXT", "updated_at TEXT NOT NULL",
    ],
    "order_lines": [
        "order_line_id TEXT PRIMARY KEY", "order_id TEXT NOT NULL", "line_no INTEGER NOT NULL", "sku TEXT NOT NULL",
        "product_name TEXT NOT NULL", "quantity INTEGER NOT NULL", "unit_price_cents INTEGER NOT NULL",
        "updated_at TEXT NOT NULL",
    ],
    "refunds": [
        "refund_id TEXT PRIMARY KEY", "order_id TEXT NOT NULL", "amount_cents INTEGER NOT NULL",
        "currency TEXT NOT NULL", "reason TEXT", "created_at TEXT NOT NULL", "updated_at TEXT NOT NULL",
    ],
}  # fmt: skip


def write_world(
    connection: duckdb.DuckDBPyConnection,
    arguments: WorldArguments,
    folder: Path,
    from_day: int,
    threads: int,
    progress: Callable[[str], None] | None = None,
) -> WorldSummary:
    """Write sources (daily files from `from_day` on), truth and, last, `world.json`.

    Every file is complete under its name or not there.
    """
    writer = _Writer(folder, arguments, from_day)
    for source in {file.split("/")[0] for file in _all_files()} | {"shop", "website", "app"}:
        (folder / "sources" / source).mkdir(parents=True, exist_ok=True)
    (folder / "truth").mkdir(exist_ok=True)

    if progress:
        progress("writing events")
    chunks = _event_chunks(connection, writer.days)
    # DuckDB does not split a statement over so few rows, so two run side by side.
    with ThreadPoolExecutor(max_workers=threads) as pool:
        list(pool.map(lambda chunk: writer.events(connection, chunk), chunks))
    if progress:
        progress("writing the other sources and the truth")
    # With one thread each: how DuckDB cuts rows into row groups of Parquet is then no question of who was first.
    connection.execute("set threads = 1")
    with ThreadPoolExecutor(max_workers=threads) as pool:
        for done in [pool.submit(task) for task in _small_files(connection, writer, folder)]:
            done.result()
    return _write_summary(connection, arguments, folder)


def _small_files(connection: duckdb.DuckDBPyConnection, writer: _Writer, folder: Path) -> Iterator[Callable[[], None]]:
    """What else there is to write, the longest first, each on a connection of its own."""

    def task(write: Callable[..., None], *what: Any) -> Callable[[], None]:
        def run() -> None:
            with connection.cursor() as cursor:
                write(cursor, *what)

        return run

    yield task(_write_shop, folder / "sources" / "shop" / "shop.sqlite")
    for name, table in TRUTH.items():
        target = folder / "truth" / f"{name}.parquet"
        yield task(writer.copy, f"from {table}", target, "(format parquet, compression zstd)")
    for file, (table, order) in DAILY_PARQUET.items():
        yield task(writer.parquet, file, table, order)
    for text in DAILY_TEXTS:
        yield task(writer.texts, text)
    for file in BACKING_FILES:
        rows = f"select line from backing_row where file = '{file}' order by updated_at, id"
        yield task(writer.copy, rows, folder / "sources" / f"{file}.jsonl", LINES)


def _all_files() -> list[str]:
    return [*(text.file for text in DAILY_TEXTS), *DAILY_PARQUET, *BACKING_FILES]


class _Writer:
    """Writes single files; each appears under its name only when it is complete."""

    def __init__(self, folder: Path, arguments: WorldArguments, from_day: int) -> None:
        self.folder, self.arguments = folder, arguments
        self.days = range(from_day, arguments.days)

    def daily_path(self, file: str, day: int, extension: str) -> Path:
        """Where the file of a day lies; the day's number counts from the start."""
        return self.folder / "sources" / f"{file}-{STARTED_ON + timedelta(days=day):%Y-%m-%d}.{extension}"

    def copy(self, connection: duckdb.DuckDBPyConnection, query: str, target: Path, options: str) -> None:
        """Have DuckDB write the result of a query."""
        unfinished = target.with_name("." + target.name + ".part")
        quoted = str(unfinished).replace("'", "''")
        connection.execute(f"copy ({query}) to '{quoted}' {options}")
        unfinished.replace(target)

    def write(self, text: str, target: Path) -> None:
        """Write text that DuckDB has put together."""
        unfinished = target.with_name("." + target.name + ".part")
        unfinished.write_text(text, encoding="utf-8", newline="\n")
        unfinished.replace(target)

    def events(self, connection: duckdb.DuckDBPyConnection, chunk: EventDays) -> None:
        """The event files of a few days, on a connection of their own: variables and temporary tables belong to one."""
        with connection.cursor() as cursor:
            cursor.execute(f"set variable seed = {self.arguments.seed}")
            cursor.execute("set variable products = (select count(*) from product)")
            cursor.execute(
                "create or replace temp table chunk as"
                f" from event_lines({chunk.is_app}, {chunk.first_day}, {chunk.last_day})"
            )
            for day in range(chunk.first_day, chunk.last_day + 1):
                target = self.daily_path("app/events" if chunk.is_app else "website/events", day, "jsonl")
                self.copy(cursor, f"select line from chunk where file_day = {day}", target, LINES)
            cursor.execute("drop table chunk")

    def texts(self, connection: duckdb.DuckDBPyConnection, text: DailyText) -> None:
        """The daily files of a small source; DuckDB joins the lines of each day."""
        rows = connection.execute(
            "select file_day, string_agg(line, chr(10) order by position) || chr(10) from text_row"
            " where file = ? and file_day >= ? group by file_day",
            [text.file, self.days.start],
        ).fetchall()
        bodies: dict[int, str] = dict(rows)
        for day in self.days:
            header = text.header_on(day, self.arguments.horizon) + "\n" if text.header else ""
            self.write(header + bodies.get(day, ""), self.daily_path(text.file, day, text.extension))

    def parquet(self, connection: duckdb.DuckDBPyConnection, file: str, table: str, order: str) -> None:
        """The daily Parquet files of a source."""
        for day in self.days:
            query = f"select * exclude (file_day, row_no) from {table} where file_day = {day} order by {order}"
            self.copy(connection, query, self.daily_path(file, day, "parquet"), "(format parquet, compression zstd)")


def _event_chunks(connection: duckdb.DuckDBPyConnection, days: range) -> list[EventDays]:
    """Consecutive days of about EVENTS_AT_ONCE events; days without events are in there too."""
    counts = dict(
        connection.execute(
            "select is_app, map(list(file_day), list(n)) from"
            " (select is_app, file_day, count(*) as n from event group by all) group by 1"
        ).fetchall()
    )
    chunks: list[EventDays] = []
    for is_app in (False, True):
        first, size = days.start, 0
        for day in days:
            size += counts.get(is_app, {}).get(day, 0)
            if size >= EVENTS_AT_ONCE or day == days[-1]:
                chunks.append(EventDays(is_app, first, day))
                first, size = day + 1, 0
    return chunks


def _write_shop(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    unfinished = path.with_name("." + path.name + ".part")
    unfinished.unlink(missing_ok=True)
    shop = sqlite3.connect(unfinished)
    try:
        shop.execute("pragma journal_mode = off")
        shop.execute("pragma synchronous = off")
        for table, columns in SHOP_TABLES.items():
            shop.execute(f"create table {table} ({', '.join(columns)}) without rowid")
            rows = connection.execute(f"from shop_{table}")
            places = ", ".join("?" for _ in rows.description or [])
            while chunk := rows.fetchmany(20_000):
                shop.executemany(f"insert into {table} values ({places})", chunk)
            shop.execute(f"create index {table}_updated_at on {table} (updated_at)")
        shop.commit()
    finally:
        shop.close()
    os.replace(unfinished, path)  # noqa: PTH105 - the one call that replaces atomically on every system


def _write_summary(connection: duckdb.DuckDBPyConnection, arguments: WorldArguments, folder: Path) -> WorldSummary:
    counts = connection.execute(
        "select name, sum(written)::bigint, sum(malformed)::bigint from record_count group by 1 order by 1"
    ).fetchall()
    mess = connection.execute("from mess_count order by 1").fetchall()
    summary = WorldSummary(
        arguments=arguments,
        as_of=arguments.as_of,
        files=sum(1 for path in (folder / "sources").rglob("*") if path.is_file()),
        records={name: written for name, written, _ in counts},
        malformed={name: malformed for name, _, malformed in counts if malformed},
        mess=dict(mess),
    )
    target = folder / "world.json"
    unfinished = target.with_name(".world.json.part")
    text = json.dumps(summary.model_dump(mode="json"), ensure_ascii=False, indent=2, sort_keys=True)
    unfinished.write_text(text + "\n", encoding="utf-8")
    unfinished.replace(target)
    return summary
