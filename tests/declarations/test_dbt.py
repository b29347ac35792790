"""dbt itself runs the compiler: before it reads files, with readable errors, and only in our project."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import duckdb
import pytest

from tests.commands import dbt as forked_dbt
from tests.declarations.scratch import CONTRACTS, FOLLOWS, FURTHER, write, write_contracts

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT / "dbt_project"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small dbt project in its own root: empty models with the shapes of the contracts, and one tag and segment."""
    dbt_dir = tmp_path / "dbt_project"
    write_contracts(dbt_dir)
    shapes = {m: ", ".join(f'cast(null as {t}) as "{c}"' for c, t in cs.items()) for m, cs in CONTRACTS.items()}
    for model in FOLLOWS:
        shapes[model] += ", null::ubigint as person_number, null::ubigint as row_digest"
    for model, columns in FURTHER.items():
        shapes[model] = ", ".join(f"cast(null as {c.split()[1]}) as {c.split()[0]}" for c in columns.split(", "))
    for model, columns in shapes.items():
        write(dbt_dir, f"models/profiles/{model}.sql", f"select {columns} where false\n")
    (dbt_dir / "macros").mkdir(exist_ok=True)
    for macro in (
        "as_of.sql",
        "grain.sql",
        "schema.sql",
        "history.sql",
        "history_told.sql",
        "engine/compression.sql",
        "engine/hash.sql",
    ):
        shutil.copy(REAL / "macros" / macro, dbt_dir / "macros")
    write(dbt_dir, "dbt_project.yml", "name: small\nversion: '1.0'\nprofile: small\n"
          "flags: {send_anonymous_usage_stats: false}\n"
          "vars: {as_of: '2026-03-01'}\nmodels: {small: {segments: {+schema: segments}}}\n")  # fmt: skip
    write(
        dbt_dir,
        "profiles.yml",
        "small:\n  target: duckdb\n  outputs:\n    duckdb: {type: duckdb, path: '"
        + str(tmp_path / "w.duckdb")
        + "', threads: 1}\n",
    )
    write(dbt_dir, "tags/buyer.yml", "type: rule\nwhen: orders > 0\n")
    write(dbt_dir, "tags/orders.yml", "type: statistical\nover: order\naggregate: count\nwhere: is_revenue\n")
    write(dbt_dir, "segments/buyers.yml", "where: buyer\n")
    return tmp_path


def dbt(
    root: Path, *arguments: str, project: str = "dbt_project", own: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run dbt in a project below root; `own`: whether it is the project of the settings."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("CDP_", "DBT_"))}
    environment["CDP_PROJECT_ROOT"] = str(root if own else root / "elsewhere")
    environment["DBT_SEND_ANONYMOUS_USAGE_STATS"] = "false"
    return forked_dbt(*arguments, folder=root / project, environment=environment)


def generated(root: Path) -> dict[str, int]:
    """Generated files with the time of their last write."""
    folder = root / "dbt_project" / "models" / "generated"
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_build_compiles_first_and_only_what_changed(root: Path) -> None:
    """One `dbt build` generates and builds; the next writes nothing; an edit rewrites only what it changes."""
    first = dbt(root, "build")
    assert first.returncode == 0, first.stdout[-3000:]
    with duckdb.connect(str(root / "w.duckdb"), read_only=True) as db:
        assert [d[0] for d in db.execute("select * from tags.person_tags").description] == [
            "person_id",
            "buyer",
            "orders",
        ]
        assert db.execute("select tag, value_type, source from tags.tag order by tag").fetchall() == [
            ("buyer", "boolean", "rule"),
            ("orders", "number", "statistical"),
        ]
    before = generated(root)
    assert dbt(root, "parse").returncode == 0
    assert generated(root) == before, "an unchanged project is not written again"

    folder = root / "dbt_project"
    write(folder, "tags/vip.yml", "type: rule\nwhen: orders > 9\n")
    (folder / "segments" / "buyers.yml").unlink()
    (folder / "models/generated/tags/tag_that_is_gone.sql").write_text("select 1 as x")
    (folder / "models/generated/tags/person_tags.sql").write_text("select 2 as broken")
    assert dbt(root, "parse").returncode == 0
    after = generated(root)
    changed = {n for n in before | after if before.get(n) != after.get(n)} - {".stamp.json"}
    assert {"tags/person_tags.sql", "tags/tag.sql", "segments/segment.sql"} <= changed
    assert not {n for n in changed if n.startswith(("profiles/", "scores/"))}, changed
    assert "tags/tag_that_is_gone.sql" not in after
    assert not [n for n in after if "partial" in n]


def test_a_wrong_declaration_stops_dbt_with_its_message(root: Path) -> None:
    """The message of the compiler, no traceback, exit code 2, and the generated files stay as they were."""
    assert dbt(root, "parse").returncode == 0
    before = generated(root)
    write(root / "dbt_project", "tags/buyer.yml", "type: rule\nwhen: ordres > 0\n")
    result = dbt(root, "build")
    said = result.stdout + result.stderr
    assert result.returncode == 2, said[-2000:]
    for promised in (
        "the declarations are wrong",
        'tags/buyer.yml:5: when: unknown column "ordres"',
        'did you mean "orders"?',
    ):
        assert promised in said
    assert "Traceback" not in said
    assert generated(root) == before


def test_other_projects_are_left_alone(root: Path) -> None:
    """In a project that is not ours the plugin writes nothing, even when declarations there are wrong."""
    shutil.copytree(root / "dbt_project", root / "other")
    write(root / "other", "tags/broken.yml", "type: what\n")
    result = dbt(root, "parse", project="other", own=False)
    assert "declarations" not in result.stdout + result.stderr
    assert not (root / "other" / "models" / "generated").exists()


def test_history_of_segments_over_runs(root: Path) -> None:
    """Repeated runs change nothing, a full refresh keeps the history, an earlier as_of forgets what came later."""
    folder = root / "dbt_project"
    (folder / "models/segments").mkdir()
    for name in ("int_segments__begun", "int_segments__begun_layout", "int_segments__stays", "segment_membership"):
        shutil.copy(REAL / f"models/segments/{name}.sql", folder / f"models/segments/{name}.sql")
    shutil.copy(REAL / "models/profiles/person_number.sql", folder / "models/profiles/person_number.sql")
    identifiers = (
        "select 'p' || i as person_id, 'x' as identifier_type, i::varchar as identifier_value from range(9) t(i)"
    )
    write(folder, "models/profiles/person_identifier.sql", identifiers)
    # members come from a file, so that a run is nothing but this one model
    (folder / "segments" / "buyers.yml").unlink()
    members = root / "members.csv"
    write(
        folder,
        "models/segments/segment_test.sql",
        f"select person_id from read_csv('{members}', columns={{'person_id': 'varchar'}}, header=true)\n",
    )
    write(
        folder,
        "models/profiles/person.sql",
        "select 'p' || i as person_id, md5_number_lower('p' || i) as person_number, false as is_test, false as is_bot,\n"
        "    null::timestamp as last_seen_at\n"
        "from range(9) t(i)\n",
    )
    seed = 5
    print(f"seed {seed}")
    rng = random.Random(seed)
    runs: list[tuple[str, set[str], list[str]]] = []
    steps = [
        ("2026-02-01", []),
        ("2026-02-03", []),
        ("2026-02-03", ["--full-refresh"]),
        ("2026-02-02", []),
    ]
    for as_of, options in steps:
        people = {f"p{n}" for n in range(9) if rng.random() < 0.6}
        members.write_text("\n".join(["person_id", *sorted(people)]) + "\n", encoding="utf-8")
        result = dbt(root, "run", "--vars", f"as_of: {as_of}", *options,
                     "--select", "person person_identifier person_number audience segment segment_test int_segments__person_evaluated int_segments__members"
                     " int_segments__members_packed int_segments__layout int_segments__begun int_segments__begun_layout"
                     " int_segments__stays segment_membership")  # fmt: skip
        assert result.returncode == 0, result.stdout[-3000:]
        runs = [r for r in runs if r[0] < as_of] + [(as_of, people, options)]
        expected = []
        for person in sorted(set().union(*(p for _, p, _ in runs))):
            entered = None
            for day, present, _ in runs:
                if person in present and entered is None:
                    entered = day
                elif person not in present and entered is not None:
                    expected.append((person, entered, day))
                    entered = None
            if entered is not None:
                expected.append((person, entered, None))
        with duckdb.connect(str(root / "w.duckdb"), read_only=True) as db:
            found = db.execute(
                "select person_id, entered_at::date::varchar, exited_at::date::varchar from segments.segment_membership"
            ).fetchall()
        assert sorted(found, key=str) == sorted(expected, key=str), (seed, as_of)
