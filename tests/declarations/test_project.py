"""The declarations of this repository: right, documented for editors, and complete."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from cdp.commands.declarations import app
from cdp.errors import DeclarationError
from cdp.settings import get_settings
from dbt_declarations.compiler import compile_declarations
from dbt_declarations.decisions import keep, of_file
from dbt_declarations.project import declared, load_project
from dbt_declarations.schemas import KINDS, schemas
from tests.declarations.scratch import settings, write

ROOT = Path(__file__).resolve().parents[2]
DBT = ROOT / "dbt_project"
FILES = [
    (path, kind)
    for folder, kind in (("tags", "tag"), ("scores", "score"), ("segments", "segment"))
    for path in sorted((DBT / folder).glob("*.yml"))
] + [(DBT / "lifecycle.yml", "lifecycle"), (DBT / "defaults.yml", "defaults")]


def test_the_same_declarations_give_the_same_bytes() -> None:
    """Everything compiles, twice to the same text, and every model says what a row is."""
    first, second = (compile_declarations(get_settings()) for _ in range(2))
    assert first == second
    assert all("One row" in text for path, text in first.items() if path.suffix == ".sql")


@pytest.mark.parametrize(("path", "kind"), FILES, ids=[p.name for p, _ in FILES])
def test_files_name_a_schema_that_accepts_them(path: Path, kind: str) -> None:
    """The first line names the published schema of the kind, and that schema accepts the file."""
    text = path.read_text(encoding="utf-8")
    named = text.splitlines()[0].removeprefix("# yaml-language-server: $schema=")
    schema_path = (path.parent / named).resolve()
    assert schema_path == ROOT / "docs" / "schemas" / f"{kind}.json"
    data = json.loads(json.dumps(yaml.safe_load(text), default=str))
    jsonschema.validate(data, json.loads(schema_path.read_text(encoding="utf-8")))


def test_published_schemas_are_those_of_the_code() -> None:
    """docs/schemas is what `cdp declarations schema` writes."""
    for name, text in schemas().items():
        assert (ROOT / "docs" / "schemas" / name).read_text(encoding="utf-8") == text, (
            f"run: cdp declarations schema ({name})"
        )
    assert set(schemas()) == set(KINDS)


def test_a_schema_refuses_what_the_compiler_refuses() -> None:
    """Editors show an unknown key too."""
    schema = json.loads(schemas()["tag.json"])
    tag = {"name": "x", "owner": "o", "description": "d", "type": "rule", "when": "true"}
    jsonschema.validate(tag, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**tag, "wenn": "true"}, schema)


def test_every_kind_is_shown_in_the_demo() -> None:
    """All types of tags and windows, both types of scores, exclusive groups, all that narrows a segment, SQL by hand."""
    project = load_project(DBT)
    tags = [declared(d) for d in project.tags]
    assert {t.type for t in tags} == {"attribute", "statistical", "rule", "mined", "manual"}
    assert {declared(d).type for d in project.scores} == {"points", "rfm"}
    assert any(getattr(t, "group", None) for t in tags) and project.tag_models and project.segment_models
    segments = [d.value for d in project.segments]
    assert any("in_segment" in (s.where or "") for s in segments) and any(s.exclude for s in segments)
    for key in ("accounts", "group", "limit", "holdout", "split", "drift"):
        assert any(getattr(s, key) for s in segments), key
    for key in ("window_days", "window_hours", "window_sessions"):
        assert any(getattr(t, key, None) for t in tags), key


def test_check_and_list_commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`check` tells programs what is wrong and ends with 2; `list` shows what is declared."""
    runner = CliRunner()
    listed = json.loads(runner.invoke(app, ["list", "--json", "--kind", "score"]).stdout)
    assert [row["name"] for row in listed] == ["lead_score", "rfm"]
    good = runner.invoke(app, ["check", "--json"])
    assert good.exit_code == 0 and json.loads(good.stdout)["valid"] is True
    settings = get_settings().model_copy(update={"project_root": tmp_path})
    monkeypatch.setattr("cdp.settings.get_settings", lambda: settings)
    (tmp_path / "dbt_project" / "tags").mkdir(parents=True)
    (tmp_path / "dbt_project" / "tags" / "x.yml").write_text("name: x\ntype: rule\n", encoding="utf-8")
    bad = runner.invoke(app, ["check", "--json"])
    told = json.loads(bad.stdout)
    assert bad.exit_code == 2 and told["valid"] is False
    assert any("owner" in e["what"] and e["where"].endswith("x.yml:1") for e in told["errors"])


def test_decisions_on_manual_tags_are_checked_whole(tmp_path: Path) -> None:
    """A right file becomes one file of decisions with writer and time; of a wrong one everything is told, and nothing written."""
    own = settings(tmp_path)
    write(own.dbt_dir, "tags/plan.yml", "type: manual\nvalue_type: text\nallowed_values: [keep, drop]\n")
    write(own.dbt_dir, "tags/seats.yml", "type: manual\nvalue_type: number\n")
    write(own.dbt_dir, "seeds/identity/identifier_types.csv", "name,priority\nemail,1\nuser_id,2\n")
    given = tmp_path / "given.csv"
    given.write_text("identifier_type,identifier_value,tag,value\nemail,a@x.example,plan,keep\nuser_id,7,seats,\n")
    path = keep(of_file(given), own, "kim", "2026-02-01T08:00:00")
    assert path.parent == own.path("tag_decisions")
    said = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(s["tag"], s["value"], s["set_by"], s["set_at"]) for s in said] == [
        ("plan", "keep", "kim", "2026-02-01T08:00:00+00:00"),
        ("seats", None, "kim", "2026-02-01T08:00:00+00:00"),
    ]
    assert len({s["decision_id"] for s in said}) == 2
    given.write_text(
        "identifier_type,identifier_value,tag,value\nemial,a@x.example,plan,kep\nemail,,seats,many\nemail,b@x.example,paln,keep\n"
    )
    with pytest.raises(DeclarationError) as wrong:
        keep(of_file(given), own, "kim")
    told = wrong.value.render()
    for promised in (
        'given.csv:2: "emial" is no type of identifier',
        'given.csv:2: "kep" is no value of plan',
        "given.csv:3: names nobody",
        'given.csv:3: "many" is no value of seats',
        'given.csv:4: there is no manual tag "paln"',
        'did you mean "plan"?',
    ):
        assert promised in told
    assert "x.example" not in told
    assert len(list(path.parent.iterdir())) == 1
