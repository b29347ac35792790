"""Each wrong declaration gives its message, with file and line; what the repository holds is right."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from cdp.errors import DeclarationError
from cdp.settings import PROJECT_ROOT, Settings
from reverse_etl import catalog, engine
from reverse_etl.schemas import schemas
from tests.reverse_etl.conftest import CONTACT_SYNC, Project

GOOD = CONTACT_SYNC.format(mode="upsert")

# What is written instead of what -> what the message must say, and the line it must name.
WRONG_SYNCS = [
    ("owner: tests", "owners: tests", ["contacts.yml:4", "owners: unknown key", 'did you mean "owner"?']),
    ("owner: tests\n", "", ["owner: is required but missing"]),
    ("name: contacts", "name: other", ["contacts.yml:2", 'the file\'s name, "contacts"']),
    ("source: snd_hubspot__contacts", "source: person", ["contacts.yml:5", "a model named snd_"]),
    ("source: snd_hubspot__contacts", "source: snd_hubspot__contact", ['did you mean "snd_hubspot__contacts"?']),
    ("destination: hubspot", "destination: hubspott", ["contacts.yml:6", 'did you mean "hubspot"?']),
    ("object: contacts", "object: contact", ["contacts.yml:7", 'did you mean "contacts"?']),
    ("key: email", "key: e_mail", ["contacts.yml:8", 'no column "e_mail"']),
    ("key: email", "key: first_name", ["contacts.yml:8", "the columns mapped to email"]),
    ("key: email", "key: []", ["contacts.yml:8", "at least 1"]),
    ("mode: upsert", "mode: overwrite", ["contacts.yml:9", "'upsert', 'update_only'"]),
    ("firstname: first_name", "firstnam: first_name", ["contacts.yml:12", 'did you mean "firstname"?']),
    ("firstname: first_name", "firstname: firstname", ["contacts.yml:12", 'did you mean "first_name"?']),
    ("firstname: first_name", "firstname: lead_score", ["contacts.yml:12", "lead_score is number", "add `cast: text`"]),
    ("firstname: first_name", "firstname: {col: first_name}", ["contacts.yml:12", "fields.firstname.col: unknown key"]),
    ("{column: stage, nulls: omit}", "{column: stage, nulls: skip}", ["contacts.yml:13", "'clear' or 'omit'"]),
    ("cdp_lead_score: lead_score", "cdp_lead-score: lead_score", ["contacts.yml:14", "cdp_lead-score"]),
    ("consent_purpose: marketing_email", "consent_purpose: ads", ["contacts.yml:19", '"marketing_email", the purpose']),
    ("consent_purpose: marketing_email\n", "", ["consent_purpose: is required"]),
    ('schedule: "15 * * * *"', "schedule: hourly", ["contacts.yml:20", "a cron line of five fields"]),
    ("max_deletes: 50", "max_deletes: -1", ["contacts.yml:21", "limits.max_deletes"]),
    ("max_deletes: 50", "max_delete: 50", ["contacts.yml:21", 'did you mean "max_deletes"?']),
    ("mode: upsert", "mode: upsert\noptions: {group: x}", ["contacts.yml:10", "unknown option", "property_group"]),
    ("mode: upsert", "mode: upsert\noptions: {property_group: My Group}", ["contacts.yml:10", "My Group"]),
    ("fields:", "fields: [", ["contacts.yml", "is not valid YAML"]),
]


@pytest.mark.parametrize(("old", "new", "parts"), WRONG_SYNCS)
def test_a_wrong_sync_says_what_where_and_what_is_accepted(
    project: Project, old: str, new: str, parts: list[str]
) -> None:
    assert old in GOOD
    project.sync("contacts", GOOD.replace(old, new, 1))
    with pytest.raises(DeclarationError) as raised:
        catalog.resolve("contacts", project.settings)
    for part in parts:
        assert part in raised.value.render()


def test_all_mistakes_are_told_at_once(project: Project) -> None:
    project.sync("contacts", GOOD.replace("first_name", "frst_name").replace("is_vip: is_vip", "is_vip: vip"))
    with pytest.raises(DeclarationError) as raised:
        catalog.resolve("contacts", project.settings)
    assert "frst_name" in raised.value.render()
    assert '"vip"' in raised.value.render()


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("contract: {enforced: true}", "contract: {enforced: false}", "the contract is not enforced"),
        ("meta: {consent_purpose: marketing_email}", "tags: [x]", "no consent purpose is given"),
        ("data_type: 'double'", "data_type: 'struct(a int)'", 'lead_score: type "struct(a int)" cannot be sent'),
        ("- name: snd_hubspot__contacts", "- name: other", "does not describe snd_hubspot__contacts"),
    ],
)
def test_a_wrong_contract_says_so(project: Project, old: str, new: str, part: str) -> None:
    path = project.settings.dbt_dir / "models" / "activation" / "snd_hubspot__contacts.yml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DeclarationError) as raised:
        catalog.resolve("contacts", project.settings)
    assert part in raised.value.render()
    assert "snd_hubspot__contacts.yml:" in raised.value.render()


def test_an_unknown_sync_is_told_with_the_nearest_name(project: Project) -> None:
    with pytest.raises(DeclarationError, match='did you mean "contacts"'):
        catalog.resolve("contact", project.settings)


def test_a_mirror_needs_a_destination_that_deletes(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = catalog.destination("hubspot")
    only_upsert = spec.objects["contacts"].model_copy(update={"modes": ["upsert"]})
    narrower = spec.model_copy(update={"objects": {"contacts": only_upsert}})
    monkeypatch.setattr(catalog, "destination", lambda _: narrower)
    project.contact_sync(mode="mirror")
    with pytest.raises(DeclarationError, match="hubspot cannot mirror contacts"):
        catalog.resolve("contacts", project.settings)


def test_a_name_with_quotes_cannot_leave_the_text_it_stands_in(project: Project) -> None:
    """Declared texts become literals: a default that looks like SQL is sent as it is written."""
    default = 'firstname: {column: first_name, default: "\') --"}'
    project.sync("contacts", GOOD.replace("firstname: first_name", default))
    project.contacts([("a@example.com", None)])
    todo = engine.plan("contacts", project.settings)
    (payload,) = [json.loads(text) for text in todo.operations.column("payload").to_pylist()]
    assert payload["firstname"] == "') --"


def test_the_syncs_of_the_repository_are_right() -> None:
    settings = Settings(project_root=PROJECT_ROOT, _env_file=None)
    resolved = catalog.resolve_all(settings)
    assert {each.sync.destination for each in resolved} <= set(catalog.destination_names())
    sources = {path.stem for path in (settings.dbt_dir / "models" / "activation").glob("snd_*.sql")}
    models = {each.source.model for each in resolved if each.source.query is None}
    assert models == sources, "every model that may leave is sent by a sync"


@pytest.mark.parametrize("name", ["sync.json", "destination.json"])
def test_the_published_schemas_are_those_of_the_code_and_accept_what_the_code_accepts(name: str) -> None:
    text = (PROJECT_ROOT / "docs" / "schemas" / name).read_text()
    assert text == schemas()[name], "run `python -m reverse_etl.schemas`"
    pattern = "syncs/*.yml" if name == "sync.json" else "destinations/*/spec.yml"
    files = sorted((PROJECT_ROOT / "reverse_etl").glob(pattern))
    assert files
    for path in files:
        jsonschema.validate(yaml.safe_load(path.read_text()), json.loads(text))


@pytest.mark.parametrize("path", sorted((PROJECT_ROOT / "reverse_etl" / "destinations").glob("*/spec.yml")), ids=str)
def test_every_destination_has_a_client_and_a_readme(path: Path) -> None:
    assert (path.parent / "README.md").stat().st_size > 500
    assert "def connect(" in (path.parent / "client.py").read_text()
