"""Event forwarding: chosen events of the timeline as the source of a sync, one row an event.

What is offered has passed the tracking plan: an event that the plan blocks never reaches the timeline, a property that it
drops is gone from it, and one that merely breaks the plan stays here unless the sync says otherwise. Persons who may not
leave the warehouse (robots, test accounts, giant components) stay, too, and so does whoever has not granted the purpose;
the consent gate looks again when the rows go out.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from cdp.declarations import Document, suggest
from cdp.errors import DeclarationError
from cdp.settings import Settings
from cdp.sources import all_sources
from cdp.tracking_plan import has_plan, load_plan
from reverse_etl.contract import Contract
from reverse_etl.declaration import EVENT_COLUMNS, EventSource, Sync
from reverse_etl.destination_spec import SQL_TYPES, FieldType

# What the rows are made of, in `schema.model` of the warehouse: what must be built before they are right.
MODELS = (
    "profiles.person_event",
    "profiles.person",
    "profiles.person_consent",
    "identity.identity_quarantine",
    "tracking.tracking_violation",
)

_OF_PERSON = ("email", "phone", "user_id")


def of_events(document: Document[Sync], source: EventSource, settings: Settings) -> Contract:
    """The contract of the chosen events. Raises DeclarationError for an event that is not planned."""
    if not has_plan(settings):
        raise document.error(("source",), "there is no tracking plan", fix="add ingest/tracking_plan/_plan.yml")
    known = sorted(event.name for event in load_plan(settings).events.values())
    unknown = _unknown(
        document, "events", source.events, known, "the tracking plan has no event", "add it to ingest/tracking_plan"
    )
    if source.sources:
        inputs = "the inputs of the collector are all of the source collector"
        unknown += _unknown(
            document, "sources", source.sources, sorted(all_sources(settings)), "there is no source", inputs
        )
    if unknown:
        raise DeclarationError.all_of(unknown)
    purpose = document.value.consent_purpose
    columns: dict[str, FieldType] = {**EVENT_COLUMNS, **source.properties}
    return Contract("person_event", columns, purpose, query=events_sql(source, purpose), models=MODELS)


def events_sql(source: EventSource, purpose: str) -> str:
    """One row an event: its columns, its person's addresses, and the properties that the sync names."""
    columns = [f"events.{name}" for name in EVENT_COLUMNS if name not in (*_OF_PERSON, "properties")]
    columns += [f"persons.{name}" for name in _OF_PERSON] + ["cast(events.properties as varchar) as properties"]
    for name, kind in source.properties.items():
        path = exp.Literal.string(f'$."{name}"').sql("duckdb")
        value = f"json_extract_string(events.properties, {path})"
        columns.append(f'try_cast({value} as {SQL_TYPES[kind]}) as "{name}"')
    names = ", ".join(exp.Literal.string(name).sql("duckdb") for name in source.events)
    conditions = [
        f"events.event_name in ({names})",
        f"events.occurred_at >= timestamp '{source.since.isoformat()} 00:00:00'",
        "not coalesce(persons.is_test, false)",
        "not coalesce(persons.is_bot, false)",
        "events.person_id not in (select quarantine.person_id from identity.identity_quarantine as quarantine)",
    ]
    if source.sources:
        listed = ", ".join(exp.Literal.string(name).sql("duckdb") for name in source.sources)
        conditions.append(f"events.source in ({listed})")
    if purpose != "service":
        granted = exp.Literal.string(purpose).sql("duckdb")
        conditions.append(
            "events.person_id in (select consents.person_id from profiles.person_consent as consents"
            f" where consents.purpose = {granted} and consents.is_granted)"
        )
    if source.in_violation == "leave_out":
        conditions.append(
            "events.sequence not in (select violations.sequence from tracking.tracking_violation as violations)"
        )
    return (
        f"select {', '.join(columns)} from profiles.person_event as events"
        " inner join profiles.person as persons on events.person_id = persons.person_id"
        f" where {' and '.join(conditions)}"
    )


def _unknown(
    document: Document[Sync], key: str, names: Sequence[str], known: list[str], what: str, fix: str
) -> list[DeclarationError]:
    return [
        document.error(
            ("source", key, position),
            f'{what} "{name}"',
            expected="one of " + ", ".join(known),
            fix=suggest(name, known) or fix,
        )
        for position, name in enumerate(names)
        if name not in known
    ]
