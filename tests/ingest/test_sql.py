"""SQL databases: a real SQLite file that changes between runs."""

from __future__ import annotations

import random
import sqlite3
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cdp.errors import ConfigurationError, RunError
from tests.ingest.conftest import Project

SOURCE = """
connection: [url]
tables:
  orders:
    description: Orders.
    sql_table: orders
    cursor: updated_at
    required: [order_id, updated_at]
    columns:
      order_id: text
      cents: bigint
      updated_at: {type: text, formats: ["%Y-%m-%d %H:%M:%S"]}
  kinds:
    description: A small table without dates.
    sql_table: kinds
    columns: {kind: text, label: text}
"""
Write = Callable[..., None]


@pytest.fixture
def write(project: Project, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Statements for the shop's database, which has two tables."""
    path = project.folder / "shop.sqlite"

    def run(*statements: str) -> None:
        with closing(sqlite3.connect(path)) as con:
            for statement in statements:
                con.execute(statement)
            con.commit()

    run(
        "create table orders (order_id text primary key, cents integer, updated_at datetime, note varchar) without rowid",
        "create table kinds (kind text, label text)",
        "insert into kinds values ('a', 'A'), ('b', 'B')",
    )
    monkeypatch.setenv("CDP_SHOP__URL", f"sqlite:///{path}")
    return run


def order(n: int, second: int, cents: object = 1, note: str = "") -> str:
    return f"insert or replace into orders (order_id, cents, updated_at, note) values ('{n:03}', {cents}, '2026-01-01 00:00:{second:02}', '{note}')"


def test_rows_of_one_moment_are_neither_lost_nor_doubled(project: Project, write: Write) -> None:
    source = project.declare("shop", SOURCE, "sql_database")
    write(order(3, 1), order(1, 1), order(2, 0))
    assert project.load(source).rows == {"orders": 3, "kinds": 2}
    assert project.values("shop__orders", "order_id") == ["002", "001", "003"]
    assert project.load(source).total == 0
    write(order(1, 1, cents=7), order(4, 1))  # changed, and new, within the second that was read
    assert project.load(source).rows == {"orders": 2}
    write(order(4, 1, cents=8), order(5, 2), "update kinds set label = 'C' where kind = 'b'")
    assert project.load(source).rows == {"orders": 2, "kinds": 1}
    assert project.load(source).total == 0
    found = project.query(
        "select order_id, list(cents order by _cdp_sequence) from raw.shop__orders group by 1 order by 1"
    )
    assert found == [("001", [1, 7]), ("002", [1]), ("003", [1]), ("004", [1, 8]), ("005", [1])]


def test_many_changes_in_many_runs(project: Project, write: Write) -> None:
    """Random changes with few moments: every version that was there at a run is landed once, in order."""
    seed = random.Random("sql").randrange(10**6)
    print("seed", seed)
    rng = random.Random(seed)
    source = project.declare("shop", SOURCE, "sql_database")
    seen: dict[str, list[int]] = {}
    state: dict[int, int] = {}
    second = 0
    for _ in range(5):
        for _ in range(rng.randint(0, 12)):
            second += rng.random() < 0.3
            n, cents = rng.randint(0, 15), rng.randint(0, 10**6)
            write(order(n, second, cents))
            state[n] = cents
        project.load(source)
        for n, cents in state.items():
            if not seen.get(f"{n:03}") or seen[f"{n:03}"][-1] != cents:
                seen.setdefault(f"{n:03}", []).append(cents)
    found = project.query("select order_id, list(cents order by _cdp_sequence) from raw.shop__orders group by 1")
    assert dict(found) == seen


def test_dirty_rows_neither_end_the_run_nor_move_the_cursor(project: Project, write: Write) -> None:
    """SQLite keeps whatever it is given: text in a number, no time, an impossible one, one that sorts behind all others."""
    source = project.declare("shop", SOURCE, "sql_database")
    write(
        order(1, 1),
        order(2, 2, cents="'much'"),
        order(3, 3, cents=1.5, note="ü🌙"),
        "insert into orders values ('004', 1, null, null), ('005', 1, '2026-02-31 00:00:00', null)",
        "insert into orders values ('006', 1, '~ soon', x'ff00'), ('007', 1, 20260101, null)",
    )
    loaded = project.load(source)
    assert (loaded.rows, loaded.quarantined) == ({"orders": 3, "kinds": 2}, 4)
    assert project.query("select order_id, cents, cents__v_text, note from raw.shop__orders order by 1") == [
        ("001", 1, None, ""),
        ("002", None, "much", ""),
        ("003", None, "1.5", "ü🌙"),
    ]
    reasons = sorted((text[14:17], reason) for _, _, reason, text in project.open_rows())
    wrong = "updated_at: is not written as %Y-%m-%d %H:%M:%S"
    assert reasons == [
        ("004", "updated_at: is empty, so changes of the row cannot be followed"),
        ("005", wrong),
        ("006", wrong),
        ("007", wrong),
    ]
    write(order(8, 4))
    again = project.load(source)
    assert (again.rows, again.quarantined) == ({"orders": 1}, 0)


def test_a_large_table_and_a_new_column(project: Project, write: Write) -> None:
    source = project.declare("shop", SOURCE, "sql_database")
    write(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 45000) "
        "insert into orders select printf('%06d', i), i, datetime('2026-01-01', '+' || (i / 1000) || ' seconds'), 'x' from n"
    )
    assert project.load(source).rows == {"orders": 45000, "kinds": 2}
    write("alter table orders add column channel text", order(1, 50))
    assert project.load(source).rows == {"orders": 2}  # of the last moment's row, too, there is more to be seen now
    assert project.query("select column_name, change from raw.raw_schema_change order by _cdp_sequence") == [
        ("note", "undeclared column"),
        ("channel", "new column"),
    ]
    assert project.query("select count(*), count(distinct order_id), sum(cents) from raw.shop__orders") == [
        (45002, 45001, sum(range(45001)) + 45000 + 1)
    ]


def test_a_database_that_is_not_there_or_not_as_declared(
    project: Project, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = project.declare("shop", SOURCE, "sql_database")
    missing = project.folder / "missing.sqlite"
    for url, message in [
        (f"sqlite:///{missing}", "there is no such database file"),
        ("nonsense://user:hunter2@host/db", "cannot be used as a database's address"),
        ("not a url hunter2", "cannot be used as a database's address"),
    ]:
        with monkeypatch.context() as patch, pytest.raises(ConfigurationError, match=message) as caught:
            patch.setenv("CDP_SHOP__URL", url)
            project.load(source)
        assert caught.value.where == "CDP_SHOP__URL"
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    assert not missing.exists()
    write("alter table orders rename to bestellungen")
    with pytest.raises(ConfigurationError, match=r'has no table "orders"(.|\n)*one of bestellungen, kinds'):
        project.load(source)
    write("alter table bestellungen rename to orders", "alter table orders rename column updated_at to changed_at")
    with pytest.raises(ConfigurationError, match='has no column "updated_at"'):
        project.load(source)
    Path(project.folder / "shop.sqlite").write_bytes(b"this is no database, and alice@example.com is no name" * 100)
    with pytest.raises((ConfigurationError, RunError)) as broken:
        project.load(source)
    assert "alice" not in "".join(traceback.format_exception(broken.value))
