"""Matching models in the warehouse: the generated dbt models, and what they do with too little to learn from."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from cdp.errors import DeclarationError
from cdp.identity import matching_warehouse
from cdp.plots import plots_of
from cdp.settings import PROJECT_ROOT, Settings
from dbt_declarations.matching import compile_matching
from tests.identity.matching_files import SMALL, persons
from tests.identity.test_account_groups import rendered

MATCHING = PROJECT_ROOT / "dbt_project" / "matching"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project root with the repository's matching models, all active."""
    shutil.copytree(MATCHING, tmp_path / "dbt_project" / "matching")
    for name in ("identity/person_candidate", "profiles/account_candidate"):
        target = tmp_path / "dbt_project" / "models" / f"{name}.sql"
        target.parent.mkdir(parents=True)
        shutil.copy(PROJECT_ROOT / "dbt_project" / "models" / f"{name}.sql", target)
    for path in (tmp_path / "dbt_project" / "matching").glob("*.yml"):
        path.write_text(path.read_text().replace("active: false", "active: true"))
    return tmp_path


class _Dbt:
    """What dbt hands to a Python model."""

    def __init__(self, records: duckdb.DuckDBPyRelation) -> None:
        self.records, self.asked = records, ""
        self.configured: dict[str, Any] = {}

    def ref(self, name: str) -> duckdb.DuckDBPyRelation:
        self.asked = name
        return self.records

    def config(self, **options: Any) -> None:
        self.configured = options


def run_model(settings: Settings, name: str, con: duckdb.DuckDBPyConnection, records: str, monkeypatch: Any) -> Any:
    """The generated Python model, run as dbt runs it, its result as table `match_<name>`."""
    monkeypatch.setattr(matching_warehouse, "get_settings", lambda: settings)
    text = compile_matching(settings)[Path(f"models/generated/identity/match_{name}.py")]
    made: dict[str, Any] = {}
    exec(compile(text, f"match_{name}.py", "exec"), made)  # noqa: S102  as dbt does
    dbt = _Dbt(con.table(records))
    table = made["model"](dbt, con)
    con.register("made", table)
    con.execute(f"create table match_{name} as select * from made")
    return dbt


def company_names(seed: int) -> list[tuple[str, str, str | None]]:
    """Accounts and what people wrote for them: (record_id, name, domain)."""
    print(f"seed {seed}")
    dice = random.Random(seed)
    stems = ["bright", "harbour", "summit", "river", "atlas", "cedar", "metro", "orion", "pioneer", "delta", "lotus"]
    kinds = ["hotels", "property", "retail", "office", "logistics", "clinics", "schools", "design"]
    pairs = [(s, k) for s in stems for k in kinds]
    dice.shuffle(pairs)
    found: dict[str, tuple[str, str, str | None]] = {}
    for number, (stem, kind) in enumerate(pairs[:60]):
        name, domain = f"{stem} {kind}", f"{stem}-{kind}.example"
        found[f"account:crm:{number}"] = (f"account:crm:{number}", name, domain)
        for _ in range(3):
            at = dice.randrange(1, len(name) - 1)
            written = dice.choice([name, name[:at] + name[at + 1 :], name[:at] + name[at] + name[at:]])
            found.setdefault(f"name:{written}", (f"name:{written}", written, dice.choice([domain, domain, None])))
    return list(found.values())


def test_company_names_find_their_account(project: Path, tmp_path: Path, monkeypatch: Any) -> None:
    settings = Settings(project_root=project, data_dir=tmp_path / "data")
    con = duckdb.connect()
    con.execute("create table account_candidate (record_id varchar, name varchar, domain varchar)")
    rows = company_names(4)
    con.executemany("insert into account_candidate values (?, ?, ?)", rows)
    dbt = run_model(settings, "account", con, "account_candidate", monkeypatch)
    assert (dbt.asked, dbt.configured) == ("account_candidate", {"materialized": "table"})
    sql = compile_matching(settings)[Path("models/generated/profiles/account_match.sql")]
    con.execute(f"create table account_match as {rendered(sql)}")
    found = con.execute("select company_name, account_key, probability, explanation from account_match").fetchall()
    keys = {r[0].removeprefix("account:"): r[1] for r in rows if r[0].startswith("account:")}
    # a name alone is too thin for a probability; beside its domain it is enough, misspelt or not
    names = {r[0].removeprefix("name:") for r in rows if r[0].startswith("name:") and r[2]}
    assert (len(keys), len(names)) == (60, 101)
    assert len(found) == len({name for name, *_ in found}), "one account a name"
    right = sum(_distance_one(name, keys[account]) for name, account, *_ in found)
    print(f"{len(names)} names, {len(found)} matched, {right} right")
    assert right == len(found)
    assert {name for name, *_ in found} == names
    for _, _, probability, explanation in found:
        parts = json.loads(explanation)
        total = sum(part["weight"] for part in parts.values())
        assert probability == pytest.approx(2**total / (1 + 2**total), abs=1e-3)
        assert set(parts) == {"prior", "name", "domain"}
    report = json.loads((tmp_path / "data" / "matching" / "account" / "report.json").read_text())
    assert report["records"] == len(rows)
    assert (tmp_path / "data" / "matching" / "account" / "scores.png").read_bytes().startswith(b"\x89PNG")


def _distance_one(written: str, name: str) -> bool:
    return bool(duckdb.connect().execute("select levenshtein(?, ?) <= 1", [written, name]).fetchall()[0][0])


def test_person_pairs_are_edges_of_the_weakest_tier(project: Path, tmp_path: Path, monkeypatch: Any) -> None:
    settings = Settings(project_root=project, data_dir=tmp_path / "data")
    (project / "dbt_project" / "matching" / "person.yml").write_text(
        SMALL.replace("name: small", "name: person\nentity: person\ninput: person_candidate")
    )
    con = duckdb.connect()
    records = persons(11)
    con.execute(
        "create table person_candidate (record_id varchar, first_name varchar, last_name varchar, born_on varchar, city varchar)"
    )
    con.executemany(
        "insert into person_candidate values (?, ?, ?, ?, ?)",
        [
            (str(int(str(r["record_id"])[1:]) + 5), r["first_name"], r["last_name"], r["born_on"], r["city"])
            for r in records
        ],
    )
    run_model(settings, "person", con, "person_candidate", monkeypatch)
    sql = compile_matching(settings)[Path("models/generated/identity/identity_match.sql")]
    found = con.execute(rendered(sql)).fetchall()
    assert len(found) > 30
    assert all(left < right for left, right, *_ in found), "as numbers, though ids were compared as text"
    assert {row[2:4] for row in found} == {("probabilistic", "person")}
    assert all(row[4] >= 0.9 for row in found)
    kept = con.execute("select count(*), bool_or(is_accepted), bool_and(is_accepted) from match_person").fetchall()[0]
    assert kept[0] > len(found)
    assert kept[1:] == (True, False)
    settings.warehouse_path.parent.mkdir(parents=True, exist_ok=True)
    con.execute(f"attach '{settings.warehouse_path}' as kept")
    con.execute("create schema kept.identity")
    con.execute("create table kept.identity.match_person as from match_person")
    con.execute("detach kept")
    (picture,) = plots_of("match_person", settings).values()
    assert picture.startswith("![plot](data:image/png;base64,iVBOR")
    assert plots_of("person_candidate", settings) == {}


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_too_few_records_give_no_pairs_and_a_reason(rows: int, project: Path, tmp_path: Path, monkeypatch: Any) -> None:
    settings = Settings(project_root=project, data_dir=tmp_path / "data")
    con = duckdb.connect()
    con.execute(
        f"create table account_candidate as select 'name:' || i as record_id, 'name ' || i as name, null::varchar as domain from range({rows}) as t(i)"
    )
    run_model(settings, "account", con, "account_candidate", monkeypatch)
    sql = compile_matching(settings)[Path("models/generated/profiles/account_match.sql")]
    assert con.execute(rendered(sql)).fetchall() == []
    report = json.loads((tmp_path / "data" / "matching" / "account" / "report.json").read_text())
    assert "nothing to" in report["problem"]


def test_without_active_models_there_are_empty_unions_of_the_same_columns(project: Path) -> None:
    settings = Settings(project_root=project)
    active = compile_matching(settings)
    for path in (project / "dbt_project" / "matching").glob("*.yml"):
        path.write_text(path.read_text().replace("active: true", "active: false"))
    inactive = compile_matching(settings)
    assert {p.name for p in active.keys() - inactive.keys()} == {"match_person.py", "match_account.py"}
    con = duckdb.connect()
    con.execute(
        "create table match_person (record_id_l varchar, record_id_r varchar, probability double, match_weight double, is_accepted boolean, explanation json)"
    )
    con.execute("create table match_account as from match_person")
    for name in ("identity/identity_match.sql", "profiles/account_match.sql"):
        described = []
        for files in (active, inactive):
            sql = rendered(files[Path("models/generated") / name])
            described.append([row[:2] for row in con.execute(f"describe ({sql})").fetchall()])
        assert described[0] == described[1]
    documented = yaml.safe_load(inactive[Path("models/generated/identity/_identity__matches.yml")])
    assert [m["name"] for m in documented["models"]] == ["identity_match", "account_match"]


@pytest.mark.parametrize(
    ("found", "replaced", "message"),
    [
        ("input: account_candidate", "input: account_candidat", 'did you mean "account_candidate"'),
        ("name: account\n", "name: accounts\n", "expected: account"),
        ("entity: account\ninput: account_candidate\n", "", "says not what it matches"),
        ("accept: 0.8", "parameters: lost.json\naccept: 0.8", 'no file "lost.json"'),
    ],
)
def test_wrong_declarations_are_named(found: str, replaced: str, message: str, project: Path) -> None:
    path = project / "dbt_project" / "matching" / "account.yml"
    assert found in path.read_text()
    path.write_text(path.read_text().replace(found, replaced))
    with pytest.raises(DeclarationError) as caught:
        compile_matching(Settings(project_root=project))
    assert message in caught.value.render()
    assert "account.yml" in caught.value.render()
