"""A clock that jumps, a field that somebody deleted at the destination, a row of another run: each ends in a clear way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from cdp.errors import ConfigurationError
from demo.emulators.faults import Fault
from reverse_etl import control, engine, ledger
from reverse_etl.destination import Result
from reverse_etl.ledger import Ledger
from reverse_etl.ledger_rows import Intended, Settled
from reverse_etl.ledger_write import LedgerError
from tests.reverse_etl.conftest import Project, Vendor
from tests.reverse_etl.test_hubspot_sync import AS_OF, contacts, held
from tests.reverse_etl.webhooks import Endpoint, endpoint

__all__ = ["endpoint"]


def test_a_jumping_clock_changes_nothing_that_is_sent(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock goes back ten years and ahead again between runs, and the run's own "now" with it."""
    there = datetime(2026, 3, 1)  # noqa: DTZ001 - the ledger's times are UTC without offset
    moments = [there, there - timedelta(days=3650), there + timedelta(days=3650), there]

    def at(moment: datetime) -> Callable[[], datetime]:
        return lambda: moment

    endpoint.declare("mirror")
    for number, moment in enumerate(moments):
        monkeypatch.setattr(ledger, "now", at(moment))
        endpoint.want({f"r{n:02}": number for n in range(number, 20 + number)})
        lost = number % 2 == 1
        endpoint.script.rule = (lambda _, path: Fault(500, after_effect=True)) if lost else None
        result = engine.run("rows", endpoint.project.settings, moment)
        assert (result.in_doubt > 0) == lost
        assert not lost or not result.ok
        if not lost:
            assert endpoint.held() == {f"r{n:02}": number for n in range(number, 20 + number)}
            assert endpoint.run().sent == 0
    book = Ledger(endpoint.project.settings)
    numbers = [int(run.run_id.rsplit("-", 1)[1]) for run in book.runs("rows", 20)]
    book.close()
    assert numbers == sorted(numbers, reverse=True), "the newest run is the last one, whatever its clock said"


def test_a_field_that_was_deleted_at_the_destination_is_made_again_or_named(project: Project, portal: Vendor) -> None:
    """A custom property is made again; of one of the vendor's own it is told that it is gone, and what to do."""
    project.contact_sync(**{"  cdp_is_vip: is_vip\n": "  cdp_is_vip: is_vip\n  company: {column: first_name}\n"})
    project.contacts(contacts(5))
    assert engine.run("contacts", project.settings, AS_OF).created == 5
    portal.write("delete from property where name in ('cdp_lead_score', 'company')")
    project.contacts(contacts(5, score=9.0))
    assert engine.run("contacts", project.settings, AS_OF).rejected == 5
    (found,) = control.errors("contacts", project.settings)
    assert (found["meaning"], found["code"], found["rows"]) == ("schema", "PROPERTY_DOESNT_EXIST", 5)
    assert "company" in found["reason"]
    assert "Create the property again" in found["to_do"]
    project.contact_sync()
    assert engine.run("contacts", project.settings, AS_OF).updated == 5
    assert {row["cdp_lead_score"] for row in held(portal).values()} == {"9"}


def test_a_batch_that_another_run_has_closed_stops_this_one(endpoint: Endpoint) -> None:
    """Two machines with copies of one SQLite file: the second to close a batch is told, and changes nothing."""
    import pyarrow as pa

    from reverse_etl.ledger_codec import BATCH_COLUMNS

    endpoint.want({"a": 1})
    assert endpoint.run().created == 1
    book = Ledger(endpoint.project.settings)
    rows = pa.table({name: pa.array(["x"], pa.string()) for name in BATCH_COLUMNS})
    batch = Intended(book.next_number("rows"), rows, "key")
    book.advance("rows", "run", intend=[batch])
    book.advance("rows", "run", settle=[Settled(batch, Result.all_succeeded())])
    with pytest.raises(LedgerError, match="is not open any more"):
        book.advance("rows", "run", settle=[Settled(batch, Result.all_succeeded())])
    book.close()


def test_a_ledger_of_another_version_is_refused(endpoint: Endpoint) -> None:
    endpoint.want({"a": 1})
    endpoint.run()
    book = Ledger(endpoint.project.settings)
    with book.engine.begin() as con:
        con.exec_driver_sql("update ledger_meta set value = '99' where name = 'version'")
    book.close()
    calls = endpoint.calls()
    with pytest.raises(ConfigurationError, match="the ledger has version 99"):
        endpoint.run()
    assert endpoint.calls() == calls
