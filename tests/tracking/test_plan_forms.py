"""The plan in other forms and back, compared with itself, used by others, and refused when it is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
from jsonschema import Draft202012Validator

from cdp.errors import DeclarationError
from cdp.settings import PROJECT_ROOT, Settings
from cdp.tracking_plan import Plan, load_plan
from dbt_declarations.tracking_usage import read_users, users_of
from ingest.tracking_plan import validator_for
from ingest.tracking_plan.changes import changes
from ingest.tracking_plan.examples import example_call, wrong_examples
from ingest.tracking_plan.exporting import write
from ingest.tracking_plan.importing import read_plan
from ingest.tracking_plan.schemas import event_schema, schemas
from ingest.tracking_plan.watching import watch
from ingest.tracking_plan.writing import event_yaml, write_events

SETTINGS = Settings(project_root=PROJECT_ROOT, _env_file=None)
FOLDER = PROJECT_ROOT / "ingest" / "tracking_plan"
UNSAID = {"enforcement", "expected_per_day", "replaced_by"}  # by a spreadsheet


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load_plan(SETTINGS)


def _plan_with(tmp_path: Path, name: str, *edits: tuple[str, str]) -> Path:
    folder = tmp_path / "plan"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    path = folder / f"{name}.yml"
    text = path.read_text(encoding="utf-8")
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    return folder


def test_schemas_for_editors_are_up_to_date() -> None:
    for name, text in schemas().items():
        assert (PROJECT_ROOT / "docs" / "schemas" / name).read_text(encoding="utf-8") == text, (
            "run `cdp declarations schema`"
        )


def test_every_example_fits_and_every_schema_agrees_with_the_validator(plan: Plan) -> None:
    """A JSON Schema accepts the example, and refuses what the validator calls missing or of a wrong type."""
    assert wrong_examples(plan) == []
    judge = validator_for(plan)
    for event in plan.events.values():
        schema = Draft202012Validator(event_schema(event))
        call = example_call(event)
        assert list(schema.iter_errors(call)) == [], event.name
        place = "traits" if event.type in ("identify", "group") else "properties"
        for name, spec in event.properties.items():
            for wrong in ([{"what": "is this"}], None):
                broken = {**call, place: {**call[place], name: wrong}}
                told = any(v.path == name for v in judge(broken).violations)
                if spec.type not in ("array", "object"):
                    assert told == (wrong is not None or spec.required), (event.name, name)
                    assert bool(list(schema.iter_errors(broken))) == told, (event.name, name)


@pytest.mark.parametrize("form", ["xlsx", "csv"])
def test_a_spreadsheet_comes_back_as_it_was(plan: Plan, tmp_path: Path, form: str) -> None:
    out = tmp_path / f"plan.{form}"
    write(plan, form, out)
    found = read_plan(out, owner="nobody", sources=["website"])
    assert found.notes == []
    said = {e.name: e.model_dump(exclude=UNSAID) for e in found.events}
    assert said == {e.name: e.model_dump(exclude=UNSAID) for e in plan.events.values()}
    written, _ = write_events(found.events, tmp_path / "yaml", overwrite=False)
    shutil.copy(FOLDER / "_plan.yml", tmp_path / "yaml")
    again = load_plan(SETTINGS, tmp_path / "yaml")
    assert len(written) == len(again.events)
    assert {e.name: e.model_dump(exclude=UNSAID) for e in again.events.values()} == said
    assert write_events(found.events, tmp_path / "yaml", overwrite=False)[0] == [], "nothing is overwritten"


def test_plans_of_segment_and_rudderstack_are_read(tmp_path: Path) -> None:
    """The three shapes of JSON; what cannot be said is told. Sources: see the importing module."""
    bag = {
        "type": "object",
        "required": ["price"],
        "properties": {
            "price": {"type": ["number", "null"], "minimum": 0, "description": "Price."},
            "sku": {"type": "string", "pattern": "^A", "not": {}},
            "lines": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        },
    }
    call = {"type": "object", "properties": {"properties": bag}}
    documents: list[Any] = [
        {"data": {"rules": [{"key": "Lamp Lit", "type": "TRACK", "version": 2, "jsonSchema": call},
                            {"type": "COMMON", "version": 1, "jsonSchema": {}}]}},
        {"rules": {"events": [{"name": "Lamp Lit", "description": "A lamp.", "version": 2, "rules": call}]}},
        {"name": "p", "events": [{"name": "Lamp Lit", "eventType": "track", "version": "2", "rules": call}]},
    ]  # fmt: skip
    for number, document in enumerate(documents):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(document))
        found = read_plan(path, owner="o@x.example", sources=["website"])
        (event,) = found.events
        assert (event.name, event.version, event.owner) == ("Lamp Lit", 2, "o@x.example")
        assert event.properties["price"].required and event.properties["price"].min == 0
        assert event.properties["sku"].pattern == "A.*"
        assert event.properties["lines"].items is not None
        assert event.properties["lines"].items.properties["n"].type == "integer"
        assert any("not is not taken over" in note for note in found.notes)
    path.write_text("[1]")
    with pytest.raises(DeclarationError, match="holds no events"):
        read_plan(path, owner="o", sources=["website"])


def test_the_python_module_sends_what_the_plan_wants(plan: Plan, tmp_path: Path) -> None:
    """It is made, imported and called; what it hands to an SDK passes the validator."""
    text = write(plan, "python", tmp_path / "made.py")[0].read_text(encoding="utf-8")
    sent: list[dict[str, Any]] = []

    class Client:
        def track(self, **call: Any) -> None:
            sent.append({"type": "track", **call})

        def identify(self, **call: Any) -> None:
            sent.append({"type": "identify", **call})

    made: dict[str, Any] = {"__name__": "made"}
    exec(compile(text, "made.py", "exec"), made)  # noqa: S102 - the module under test
    made["product_added"](Client(), user_id="u", product_id="LM-DL-001", quantity=1, price=3.5)
    made["identified"](Client(), user_id="u", firstname="Mia")
    judge = validator_for(plan, "website")
    assert [judge(call).violations for call in sent] == [(), ()]
    assert sent[0]["properties"] == {"product_id": "LM-DL-001", "quantity": 1, "price": 3.5}
    assert sent[1]["traits"] == {"firstName": "Mia"}
    with pytest.raises(TypeError):
        made["product_added"](Client(), user_id="u", product_id="LM-DL-001")


def test_changes_are_told_apart_by_whether_they_break(plan: Plan, tmp_path: Path) -> None:
    folder = _plan_with(
        tmp_path,
        "product_added",
        ("price: {type: number,", "price: {type: string,"),
        ("quantity: {type: integer, required: true,", "quantity: {type: number,"),
        ("sources: [website, web, app]", "sources: [website, web]"),
        ("min: 0, unit: in currency, ", ""),
    )
    (folder / "video_played.yml").unlink()
    found = {(c.event, c.path, c.what): c.breaking for c in changes(plan, load_plan(SETTINGS, folder))}
    assert found == {
        ("Product Added", "", "is no longer sent by app"): True,
        ("Product Added", "price", "is string, was number"): True,
        ("Product Added", "price", "min is gone, was 0.0"): False,
        ("Product Added", "quantity", "is number, was integer"): False,
        ("Product Added", "quantity", "is no longer required"): False,
        ("Product Added", "", "changed, but its version is still 2"): False,
        ("Video Played", "", "is gone"): True,
    }
    assert changes(plan, plan) == []


def test_usage_is_followed_through_tags_and_segments() -> None:
    """The cart's tag reads the event, its segment reads the tag; a property is used only where it is named."""
    users = read_users(SETTINGS)
    added = {u.label for u in users_of("Product Added", None, users)}
    assert {"tag days_since_cart", "segment abandoned_cart"} <= added
    category = {u.label for u in users_of("Product Viewed", "category", users)}
    assert "tag favourite_category" in category
    assert "tag products_viewed_30d" not in category
    assert users_of("Nobody Sends This", None, users) == []


@pytest.mark.parametrize(
    ("event", "old", "new", "message"),
    [
        ("product_viewed", "name: Product Viewed", "name: product viewed", "is not written as the plan wants"),
        ("product_viewed", "sources: [website, web, app]", "sources: [websit]", 'did you mean "website"'),
        ("product_viewed", 'pattern: "LM-', 'pattern: "(?=LM)', "no look-around"),
        ("product_viewed", "currency: {type: string", "currency: {type: strng", 'did you mean "string"'),
        ("signed_up", "values: [email, phone, wechat]", "values: [email, 3]", "not all are of type string"),
        ("mini_program_visited", "purpose: analytics", "purpose: analytics\nenforcement: {missing_property: block}", "Segment's shape"),
        ("page_viewed", "name: Page Viewed", "name: Page Seen", 'is called "Page Viewed"'),
    ],
)  # fmt: skip
def test_a_wrong_plan_is_refused_with_its_place(tmp_path: Path, event: str, old: str, new: str, message: str) -> None:
    folder = _plan_with(tmp_path, event, (old, new))
    with pytest.raises(DeclarationError) as raised:
        load_plan(SETTINGS, folder)
    assert message in raised.value.render()
    assert f"{event}.yml:" in raised.value.render()


def test_an_example_that_does_not_fit_is_told(tmp_path: Path) -> None:
    folder = _plan_with(tmp_path, "product_viewed", ("example: LM-DL-001", "example: lamp"))
    (error,) = wrong_examples(load_plan(SETTINGS, folder))
    assert "pattern_mismatch (product_id)" in error.render()


def test_yaml_of_an_event_is_its_declaration(plan: Plan) -> None:
    """Written and read again it is the same, nested properties included."""
    from cdp.declarations import parse
    from cdp.tracking_plan import Event

    for event in plan.events.values():
        assert parse(event_yaml(event), Path(f"{event.slug}.yml"), Event).value == event


def test_alarms_of_rate_volume_and_silence(plan: Plan, tmp_path: Path) -> None:
    """Twenty quiet days, then one event breaks, one comes five times as often, one has stopped, one that is new comes far less
    than the plan expects; the others say nothing."""
    settings = Settings(project_root=PROJECT_ROOT, data_dir=tmp_path, _env_file=None)
    days = "select date '2026-02-01' + n::integer as occurred_on, n from range(0, 20) as r(n)"
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as con:
        con.execute("create schema tracking")
        con.execute(
            f"""
            create table tracking.tracking_event_day as
            with days as ({days})
            select 'website' as source, 'Product Viewed' as event_name, occurred_on, 100 as events,
                case when n = 19 then 5 else 0 end as events_in_violation from days
            union all select 'website', 'Product Added', occurred_on, case when n = 19 then 500 else 100 end, 0 from days
            union all select 'app', 'Product Added', occurred_on, 100, 0 from days where n < 17
            union all select 'app', 'Video Played', occurred_on, 1, 1 from days where n % 5 = 0
            union all select 'website', 'Signed In', occurred_on, 90 + n, 1 from days
            union all select 'web', 'Signed Up', occurred_on, 30, 0 from days where n > 15
            """
        )
    expecting = plan.events["track:Signed Up"].model_copy(update={"expected_per_day": 400.0})
    watched = Plan(plan.settings, {**plan.events, expecting.key: expecting})
    assert ("volume", "Signed Up", "web") not in alarms(plan, settings)
    assert alarms(watched, settings) == [
        ("stopped", "Product Added", "app"),
        ("violation_rate", "Product Viewed", "website"),
        ("volume", "Product Added", "website"),
        ("volume", "Signed Up", "web"),
    ]


def alarms(plan: Plan, settings: Settings) -> list[tuple[str, str, str]]:
    """What is wrong on 20 February."""
    return [(a.check, a.event, a.source) for a in watch(plan, settings, "2026-02-21T00:00:00")]
