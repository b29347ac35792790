"""The command line: every command explains itself, starts lightly, refuses what it should, and says what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from cdp.cli import app
from tests.conftest import BuiltWorld
from tests.site import Site

HEAVY = (
    "dagster",
    "dbt",
    "dlt",
    "duckdb",
    "pandas",
    "pyarrow",
    "great_expectations",
    "sqlalchemy",
    "splink",
    "requests",
    "rich",
)


pytestmark = pytest.mark.timeout(1800)  # the shared world is built in the first test that asks for it


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its words."""
    if hasattr(command, "commands"):
        for name, below in command.commands.items():
            yield from commands(below, (*path, name))
    else:
        yield " ".join(path), command


ALL = dict(commands(get_command(app)))


def modules_after(*arguments: str) -> set[str]:
    """Top-level modules that a call of `cdp` has imported when it ends."""
    code = (
        "import atexit, json, sys; sys.argv = ['cdp', *sys.argv[1:]]\n"
        "atexit.register(lambda: print('\\n@' + json.dumps(sorted({m.split('.')[0] for m in sys.modules}))))\n"
        "from cdp.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.rsplit("\n@", 1)[1]))


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_command_explains_itself_with_an_example(name: str) -> None:
    command = ALL[name]
    text = f"{command.help or ''}\n{command.epilog or ''}"
    assert f"Example: cdp {name}" in text, "the example must be a call of this very command"
    assert len((command.help or "").splitlines()[0]) > 20
    undocumented = [p.name for p in command.params if p.name != "help" and not getattr(p, "help", None)]
    assert not undocumented, f"options without a word: {undocumented}"


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("sync", "run", "--help"), ("world", "--help")])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    found = modules_after(*arguments)
    assert "typer" in found
    assert found.isdisjoint(HEAVY), sorted(found & set(HEAVY))


@pytest.fixture
def site(built_world: BuiltWorld) -> Site:
    """The built world, to be read only."""
    return built_world.site


def test_wrong_calls_end_with_2_and_a_proposal(site: Site) -> None:
    for arguments, words in (
        (("run", "--sources", "online_retial"), ("unknown source", 'did you mean "online_retail"?')),
        (("declarations", "list", "--kind", "tags"), ("unknown kind", "segment")),
        (("sync", "plan", "hubspot_contact"), ("hubspot_contacts",)),
        (("runn",), ("run",)),
    ):
        done = site.cdp(*arguments)
        assert done.returncode in (2, 3), (arguments, done.returncode, done.stderr)
        assert all(word in done.stderr for word in words), (arguments, done.stderr)
        assert "Traceback" not in done.stderr


def test_sql_answers_and_cannot_do_anything_else(site: Site, tmp_path: Path) -> None:
    rows = json.loads(site.ok("sql", "--json", "select count(*) as n from profiles.person"))
    assert rows[0]["n"] > 100
    secret = tmp_path / "secret.csv"
    secret.write_text("a\nhidden-value\n")
    for query in (
        "create table profiles.x as select 1 as a",
        "delete from profiles.person",
        "drop table profiles.person",
        "update profiles.person set email = null",
        f"copy (select 1) to '{tmp_path / 'out.csv'}'",
        f"select * from read_csv('{secret}')",
        f"select * from '{secret}'",
        f"attach '{tmp_path / 'x.duckdb'}' as x",
        "set enable_external_access = true",
        "install httpfs",
        "select 1; drop table profiles.person",
        "pragma database_list; create table main.y (a int)",
        "selec 1",
    ):
        done = site.cdp("sql", query)
        assert done.returncode == 2, (query, done.stdout, done.stderr)
        assert "hidden-value" not in done.stdout + done.stderr
        assert "expected:" in done.stderr and "Traceback" not in done.stderr, (query, done.stderr)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["secret.csv"]
    assert json.loads(site.ok("sql", "--json", "select count(*) as n from profiles.person")) == rows


def test_status_tells_of_sources_tables_runs_and_checks(site: Site) -> None:
    told = json.loads(site.ok("status", "--json"))
    assert told["runs"][0]["status"] == "SUCCESS"
    assert {c["severity"] for c in told["failing_checks"]} <= {"WARN"}
    by_name = {s["source"]: s for s in told["sources"]}
    assert by_name["website"]["rows"] == site.one("select count(*) from raw.website__events")
    assert by_name["website"]["last_loaded_at"]
    order = [t["schema"] for t in told["tables"]]
    assert order.index("raw") < order.index("identity") < order.index("segments")


def test_nothing_there_yet_is_said_with_what_to_do(tmp_path: Path) -> None:
    empty = Site.make(tmp_path)
    for arguments in (("status",), ("sql", "select 1"), ("world", "up")):
        done = empty.cdp(*arguments)
        assert done.returncode == 3, (arguments, done.stdout, done.stderr)
        assert "to do" in done.stderr and "Traceback" not in done.stderr


def findings(site: Site, **env: str) -> dict[str, dict[str, Any]]:
    """`cdp doctor`'s findings by what was looked at; its exit code must fit them."""
    done = site.cdp("doctor", "--json", **env)
    found = {f["what"]: f for f in json.loads(done.stdout)}
    assert done.returncode == (0 if all(f["ok"] for f in found.values()) else 3)
    return found


def test_doctor_finds_what_is_missing_and_what_is_wrong(tmp_path: Path) -> None:
    site = Site.make(tmp_path)
    tag = site.root / "dbt_project" / "tags" / "fair_visitor.yml"
    tag.write_text(tag.read_text().replace("owner:", "ownr:"))
    # an API's token is there, but not where it is
    found = findings(site, CDP_SUPPORT__TOKEN="s3cret-token-of-the-test")
    assert not found["declarations"]["ok"]
    assert "fair_visitor.yml" in found["declarations"]["found"]
    assert "CDP_SUPPORT__BASE_URL" in found["settings of support"]["found"]
    assert found["Python"]["ok"] and found["packages"]["ok"]
    assert "s3cret" not in json.dumps(found), "a secret is never printed"
    assert all(f["fix"] for f in found.values() if not f["ok"]), "what is wrong comes with what to do"


def test_doctor_finds_a_data_folder_that_cannot_be_written_and_a_dead_server(tmp_path: Path) -> None:
    site = Site.make(tmp_path)
    blocked = tmp_path / "a-file"
    blocked.write_text("not a folder")
    found = findings(
        Site(site.root, blocked / "data"),
        CDP_SUPPORT__BASE_URL="http://127.0.0.1:9", CDP_SUPPORT__TOKEN="x", CDP_SUPPORT__EMAIL="x",
    )  # fmt: skip
    assert not found["data folder"]["ok"]
    assert "CDP_DATA_DIR" in found["data folder"]["fix"]
    server = [f for what, f in found.items() if "support" in what]
    assert server and not any(f["ok"] for f in server)
    if os.geteuid() != 0:
        folder = tmp_path / "read-only"
        folder.mkdir(mode=0o500)
        assert not findings(Site(site.root, folder))["data folder"]["ok"]


def test_our_connections_do_not_lose_rows_of_anti_joins(tmp_path: Path) -> None:
    """DuckDB 2.0.0 does, with its optimizer outer_join_simplification; ours switch it off (docs/decisions.md)."""
    from cdp.settings import Settings
    from cdp.warehouse import open_database

    con = open_database(tmp_path / "w.duckdb", read_only=False, settings=Settings(data_dir=tmp_path))
    con.execute("create table l as select unnest(range(5)) as k")
    con.execute("create table r as select * from (values (0, null), (1, 1), (2, 2), (0, 3), (1, 4), (2, 5)) as v(k, x)")
    grouped = "select k, max(x) as x from r group by k"
    statement = f"select l.k from l left join (select k, x from ({grouped}) where x is null) as s on l.k = s.k where s.k is null"
    assert con.execute(statement + " order by 1").fetchall() == [(0,), (1,), (2,), (3,), (4,)]
    con.close()
