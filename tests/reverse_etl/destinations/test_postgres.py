"""Rows of a table on a real Postgres, through the engine."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from cdp.errors import ConfigurationError
from reverse_etl import engine
from reverse_etl.catalog import destination
from reverse_etl.destinations.postgres.client import connect
from reverse_etl.ledger import Ledger
from reverse_etl.pace import Pace
from tests.postgres import Postgres, postgres
from tests.reverse_etl.conftest import Project

__all__ = ["postgres"]

AS_OF = "2026-03-01T00:00:00"
COLUMNS = {
    "id": "varchar", "name": "varchar", "score": "double", "visits": "bigint", "is_vip": "boolean", "born_on": "date",
    "seen_at": "timestamp", "tags": "varchar[]",
}  # fmt: skip
SYNC = """
name: people
description: Rows of the tests.
owner: tests
source: snd_postgres__people
destination: postgres
object: rows
key: id
mode: {mode}
fields: {fields}
consent_purpose: service
schedule: "15 * * * *"
limits: {{max_change_percent: 100, max_deletes: 10000, min_source_percent: 0, max_invalid_percent: 100}}
options: {{table: crm.people, key: id, create: "{create}"}}
"""
FIELDS = (
    "{id: id, name: name, score: score, visits: visits, is_vip: is_vip, born_on: born_on, seen_at: seen_at, tags: tags}"
)
SEEN = dt.datetime.fromisoformat("2026-02-03T04:05:06.789")
ANNA = ("a", "安娜 'x' \\ \"y\"", 1.5, 7, True, dt.date(1990, 1, 2), SEEN, ["b", "a,c"])


class Table:
    """The table `crm.people`, and the sync that writes to it."""

    def __init__(self, project: Project, port: int) -> None:
        self.project = project
        self.con = psycopg.connect(host="127.0.0.1", port=port, dbname="postgres", user="cdp", autocommit=True)
        self.con.execute("drop schema if exists crm cascade")
        self.con.execute("create schema crm")
        self.con.execute("set timezone to 'UTC'")

    def declare(self, mode: str = "upsert", fields: str = FIELDS, create: str = "yes") -> None:
        self.project.contract("snd_postgres__people", COLUMNS, "service")
        self.project.sync("people", SYNC.format(mode=mode, fields=fields, create=create))

    def want(self, *rows: tuple[Any, ...]) -> None:
        self.project.fill("snd_postgres__people", COLUMNS, [(*row, *(None,) * (8 - len(row))) for row in rows])

    def run(self) -> Any:
        return engine.run("people", self.project.settings, AS_OF)

    def held(self, columns: str = "id, name") -> list[tuple[Any, ...]]:
        return self.con.execute(f"select {columns} from crm.people order by id").fetchall()


@pytest.fixture
def table(project: Project, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[Table]:
    port = urlsplit(postgres.schema_url()).port or 0
    settings = {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "DATABASE": "postgres",
        "USER": "cdp",
        "SSLMODE": "disable",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"CDP_POSTGRES__{name}", value)
    made = Table(project, port)
    made.declare()
    yield made
    made.con.close()


def test_a_missing_table_is_made_and_every_kind_of_value_arrives(table: Table) -> None:
    table.want(ANNA, ("b",))
    assert table.run().created == 2
    assert table.held("*") == [
        # Fields are in name order, and so are the columns of a table that was made.
        (dt.date(1990, 1, 2), "a", True, ANNA[1], 1.5, SEEN.replace(tzinfo=dt.UTC), ["b", "a,c"], 7),
        (None, "b", None, None, None, None, None, None),
    ]
    before = table.held("xmin, id")
    assert table.run().sent == 0
    table.want(ANNA, ("b", "Ben"))
    assert table.run().updated == 1
    after = table.held("xmin, id")
    assert (after[0] == before[0], after[1] == before[1]) == (True, False), "only the changed row was written"


def test_mirror_removes_its_own_rows_only(table: Table) -> None:
    table.declare("mirror")
    table.want(("a", "x"), ("b", "x"), ("c", "x"))
    table.run()
    table.con.execute("insert into crm.people (id, name) values ('theirs', 'kept')")
    table.con.execute("delete from crm.people where id = 'b'")
    table.want(("a", "y"))
    result = table.run()
    assert (result.updated, result.deleted) == (1, 2), "what was gone already counts as deleted"
    assert table.held() == [("a", "y"), ("theirs", "kept")]


@pytest.mark.parametrize(
    ("mode", "expected", "rejected"),
    [
        ("upsert", [("a", "new"), ("b", "new")], 0),
        ("update_only", [("a", "new")], 1),
        ("create_only", [("a", "old"), ("b", "new")], 0),
        ("append", [("a", "old"), ("b", "new")], 0),
        ("delete", [], 0),
    ],
)
def test_modes_towards_a_row_that_is_there(
    table: Table, mode: str, expected: list[tuple[str, str]], rejected: int
) -> None:
    table.con.execute("create table crm.people (id text primary key, name text)")
    table.con.execute("insert into crm.people values ('a', 'old')")
    table.declare(mode, "{id: id, name: name}")
    table.want(("a", "new"), ("b", "new"))
    result = table.run()
    assert (table.held(), result.rejected) == (expected, rejected)
    if rejected:
        assert [row.code for row in Ledger(table.project.settings).open_rows("people")] == ["not_found"]


def test_bad_rows_stand_alone_whatever_the_table_minds(table: Table) -> None:
    table.con.execute(
        "create table crm.people (id varchar(5) primary key, name text unique, visits smallint check (visits > 0), score float)"
    )
    table.declare(fields="{id: id, name: name, visits: visits, score: {column: score, nulls: omit}}")
    good = [(f"g{n}", f"n{n}", float(n) if n % 2 else None, 1) for n in range(40)]
    bad = [("too long", "x"), ("z1", "n1"), ("b2", "b2", None, 0), ("b3", "b3", None, 99_999), ("b4", "nul\0", None, 1)]
    table.want(*good, *bad)
    result = table.run()
    assert (result.created, result.rejected) == (40, 5)
    codes = {row.code for row in Ledger(table.project.settings).open_rows("people")}
    assert codes == {"22001", "23505", "23514", "22003", "22P05"}
    assert codes <= set(destination("postgres").errors)
    table.want(*good[:39], ("g39", "n39"))
    assert table.run().sent == 1
    assert table.con.execute("select score from crm.people where id = 'g39'").fetchall() == [(39,)], "left as it was"


def test_if_empty_asks_the_table(table: Table) -> None:
    table.con.execute("create table crm.people (id text primary key, name text, visits int)")
    table.con.execute("insert into crm.people values ('a', 'by hand', 1), ('b', null, 1)")
    table.declare(fields="{id: id, name: {column: name, write: if_empty}, visits: visits}")
    table.want(("a", "ours", None, 2), ("b", "ours", None, 2), ("c", "ours", None, 2))
    table.run()
    assert table.held("*") == [("a", "by hand", 2), ("b", "ours", 2), ("c", "ours", 2)]


@pytest.mark.parametrize(
    ("ddl", "problem"),
    [
        ("", "there is no table crm.people"),
        ("create table crm.people (id text, name text)", "no unique index over id"),
        (
            "create table crm.people (id text, name text); create unique index on crm.people (id) where name = 'x'",
            "index",
        ),
        ("create table crm.people (id text primary key)", "no field name"),
        (
            "create table crm.people (id text primary key, name text generated always as (id) stored)",
            "name of crm.people is generated",
        ),
    ],
)
def test_a_table_that_does_not_fit_is_refused_before_anything_is_sent(table: Table, ddl: str, problem: str) -> None:
    table.declare(fields="{id: id, name: name}", create="no")
    table.want(("a", "x"))
    if ddl:
        table.con.execute(ddl)
    with pytest.raises(ConfigurationError, match=problem):
        table.run()


def test_wrong_settings_name_what_to_correct(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    table.want(("a", "x"))
    for name, value, problem in (
        ("DATABASE", "nosuch", "does not exist"),
        ("SSLMODE", "require", "does not support SSL"),
        ("SSLMODE", "always", "CDP_POSTGRES__SSLMODE is"),
        ("PORT", "x", "CDP_POSTGRES__PORT is"),
    ):
        with monkeypatch.context() as wrong:
            wrong.setenv(f"CDP_POSTGRES__{name}", value)
            with pytest.raises(ConfigurationError, match=problem):
                table.run()
            Ledger(table.project.settings).set_control("people", bound_to="")
    table.con.execute("drop role if exists reader; create role reader login")
    table.con.execute("create table crm.people (id text primary key); grant usage on schema crm to reader")
    table.declare(fields="{id: id}")
    monkeypatch.setenv("CDP_POSTGRES__USER", "reader")
    with pytest.raises(ConfigurationError, match="permission denied"):
        table.run()


def test_a_lost_connection_is_opened_again(table: Table) -> None:
    table.want(*[(f"r{n:04}", "x") for n in range(2500)])
    kills = 0

    class Killing(Pace):
        def take(self) -> None:
            nonlocal kills
            kills += 1
            if kills == 3:
                table.con.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tributary'"
                )
            super().take()

    pace = Killing(destination("postgres").retry)
    assert engine.run("people", table.project.settings, AS_OF, pace=pace).created == 2500
    assert table.con.execute("select count(*) from crm.people").fetchall() == [(2500,)]
    assert kills > 4


def test_nobody_answers() -> None:
    settings = {
        "host": "127.0.0.1",
        "port": "1",
        "database": "x",
        "user": "x",
        "password": "",
        "sslmode": "disable",
        "sslrootcert": "",
    }
    spec = destination("postgres")
    client = connect(spec, settings, Pace(spec.retry, sleep=lambda _: None))
    with pytest.raises(Exception, match="no connection") as told:
        client.prepare("rows", [], {"table": "x", "key": "id", "create": "no"})
    assert getattr(told.value, "effect_unknown", None) is False
