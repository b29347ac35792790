"""The ledger on SQLite and on Postgres: the same runs, the same answers; and databases that are no ledger."""

from __future__ import annotations

import sqlite3

import pytest
from pydantic import SecretStr

from cdp.errors import BusyError, ConfigurationError
from demo.emulators.faults import Fault
from reverse_etl.ledger import Ledger
from reverse_etl.ledger_write import LedgerError
from tests.postgres import Postgres, postgres
from tests.reverse_etl.webhooks import Endpoint, endpoint

__all__ = ["endpoint", "postgres"]


def test_the_same_story_on_postgres(endpoint: Endpoint, postgres: Postgres) -> None:
    settings = endpoint.project.settings
    endpoint.project.settings = settings.model_copy(update={"ledger_url": SecretStr(postgres.schema_url())})
    endpoint.declare("mirror")
    endpoint.want({f"r{n:03}": n for n in range(250)})
    assert endpoint.run().created == 250
    endpoint.want({f"r{n:03}": n + (n % 10 == 0) for n in range(240)} | {"bad": (1, "refused")})
    endpoint.script.rule = lambda number, path: Fault(500, after_effect=True) if number < 20 else None
    first = endpoint.run()
    assert first.in_doubt > 0
    endpoint.script.rule = None
    second = endpoint.run()
    assert (second.resent, second.rejected) == (first.in_doubt, 1)
    assert endpoint.held() == {f"r{n:03}": n + (n % 10 == 0) for n in range(240)}
    ledger = Ledger(endpoint.project.settings)
    assert ledger.fold("rows", always=True)
    assert ledger.open_counts("rows") == {"rejected": 1}
    assert endpoint.run().sent == 1
    with ledger.only_run("rows"), pytest.raises(BusyError):
        endpoint.run()
    ledger.close()


def test_folding_changes_nothing_that_is_known(endpoint: Endpoint) -> None:
    endpoint.declare("mirror")
    for round_no in range(4):
        endpoint.want({f"r{n:03}": n * round_no for n in range(round_no, 120 - 10 * round_no)})
        assert endpoint.run().ok
        ledger = Ledger(endpoint.project.settings)
        assert ledger.fold("rows", always=True)
        ledger.close()
        assert endpoint.run().sent == 0
    with sqlite3.connect(endpoint.project.settings.path("ledger.sqlite")) as con:
        assert con.execute("select count(*) from sync_batch").fetchone() == (0,), "what is folded and logged is dropped"


@pytest.mark.parametrize("content", [b"this is no database at all" * 100, b""])
def test_a_file_that_is_no_ledger_is_refused_or_filled(endpoint: Endpoint, content: bytes) -> None:
    path = endpoint.project.settings.path("ledger.sqlite")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    endpoint.want({"a": 1})
    if not content:
        assert endpoint.run().created == 1
        return
    with pytest.raises(ConfigurationError, match="the ledger"):
        endpoint.run()
    assert path.read_bytes() == content, "what is not ours is not touched"


def test_a_database_of_another_program_is_refused(endpoint: Endpoint) -> None:
    path = endpoint.project.settings.path("ledger.sqlite")
    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(path) as con:
        con.execute("create table bookmarks (url text)")
    endpoint.want({"a": 1})
    with pytest.raises(ConfigurationError, match="the database is no ledger"):
        endpoint.run()


def test_a_damaged_state_is_told_and_nothing_is_sent(endpoint: Endpoint) -> None:
    endpoint.want({f"r{n}": n for n in range(50)})
    endpoint.run()
    ledger = Ledger(endpoint.project.settings)
    ledger.fold("rows", always=True)
    ledger.close()
    calls = endpoint.calls()
    endpoint.want({f"r{n}": n + (n == 7) for n in range(50)})
    for column in ("payloads", "entries"):
        with sqlite3.connect(endpoint.project.settings.path("ledger.sqlite")) as con:
            con.execute(f"update sync_state_part set {column} = zeroblob(length({column}))")
        with pytest.raises(ConfigurationError, match="another checksum"):
            endpoint.run()
    assert endpoint.calls() == calls


def test_a_full_disk_stops_the_run_and_the_next_one_settles_it(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's own limit of pages stands in for the disk's end: the ledger cannot grow any more."""
    endpoint.want({"a": 0})
    endpoint.run()
    path = endpoint.project.settings.path("ledger.sqlite")
    from reverse_etl import ledger_open

    original = ledger_open._configure_sqlite

    def nearly_full(connection: sqlite3.Connection, record: object) -> None:
        original(connection, record)
        pages = connection.execute("pragma page_count").fetchone()[0]
        connection.execute(f"pragma max_page_count = {pages + 2}")

    endpoint.want({f"r{n:04}": n for n in range(2000)})
    with monkeypatch.context() as full:
        full.setattr(ledger_open, "_configure_sqlite", nearly_full)
        with pytest.raises(LedgerError, match="full"):
            endpoint.run()
    assert path.exists()
    assert endpoint.run().ok
    assert len(endpoint.held()) == 2001
