"""`cdp identity resolve`: the identity models on anybody's file of observations."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import duckdb
from sqlglot import exp

from cdp.errors import ConfigurationError, DeclarationError
from cdp.identity.answer import FILES, answer_models, answer_summary
from cdp.identity.rules import LONGEST_VALUE, Rules, fits_anything, fits_sql, load_rules
from cdp.identity.scratch import MEMORY, build, make_project
from cdp.settings import Settings
from cdp.warehouse import open_database

REQUIRED = ("record_id", "sequence", "identifier_type", "identifier_value")
Patterns = Callable[[Path, Path], str]


@dataclass(frozen=True)
class Resolved:
    """What a call did. `rejected`: rows of all calls so far that could not be used, by reason. `seconds` by model."""

    identifiers: int
    persons: int
    records: int
    refusals: int
    rejected: dict[str, int]
    seconds: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def resolve(
    observations: Path, rules_dir: Path | None, out: Path, state: Path | None, settings: Settings, patterns: Patterns
) -> Resolved:
    """Land the file, build identity, write the answer to `out`. With `state` calls add up: several files in any order end in the
    same bytes as one file with all. `patterns` makes the macros of blocked values from two seeds.

    Raises DeclarationError for a wrong file or rule, ConfigurationError for a folder that cannot be used.
    """
    rules = load_rules(rules_dir, settings.dbt_dir / "seeds" / "identity")
    if not observations.is_file():
        raise DeclarationError("there is no such file", where=str(observations), expected="a Parquet or CSV file")
    with ExitStack() as stack:
        folder = state or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cdp-identity-")))
        _prepare(folder, rules)
        # what nobody asks for again needs no file: packing tables and waiting for the disk cost more than computing them
        warehouse = folder / "warehouse.duckdb" if state else MEMORY
        project = folder / "project"
        models = {
            "conformed/identifier_observation": _observation_model(rules, _landed(observations))
        } | answer_models()
        make_project(project, settings, rules, _patterns(project, rules, settings, patterns), models)
        variables = {"provider": _calls(warehouse, settings) + 1, "as_of": "1970-01-01"}
        seconds = build(project, warehouse, settings, variables)
        out.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            shutil.move(project / f"{name}.parquet", out / f"{name}.parquet")
        found = answer_summary(project)
        shutil.rmtree(project)
        return Resolved(**found, seconds=seconds)


def _prepare(folder: Path, rules: Rules) -> None:
    """A state belongs to the rules it was begun with: other patterns or normalisers would read its rows otherwise. And to
    the hash that its record keys were made by, which another version of DuckDB may make otherwise."""
    mark = folder / "rules.json"
    with duckdb.connect() as con:
        now = {"digest": rules.digest, "hash": str(con.execute("select hash('record 用户 1')").fetchall()[0][0])}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        begun = json.loads(mark.read_text(encoding="utf-8")) if mark.exists() else now
        if begun.get("hash") != now["hash"]:
            raise DeclarationError(
                "was begun by another version of Tributary or DuckDB, whose keys of records are other ones",
                where=str(folder),
                expected="the same version in every call",
                fix="give another --state folder, and all files again",
            )
        if begun["digest"] != now["digest"]:
            raise DeclarationError(
                "was begun with other identifier types or blocked values",
                where=str(folder),
                expected="the same rules in every call; only overrides may change",
                fix="give another --state folder, and all files again",
            )
        mark.write_text(json.dumps(now), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot be written: {error.strerror or error}", where=str(folder)) from error


def _landed(observations: Path) -> str:
    """The file's rows with typed columns, as a query."""
    with duckdb.connect() as con:
        return _typed(_reader(observations), _columns(con, observations))


def _calls(warehouse: Path, settings: Settings) -> int:
    """How many files are in the state already; the number of a call is the provider of its rows."""
    if not warehouse.exists():
        return 0
    con = open_database(warehouse, read_only=True, settings=settings)
    try:
        known = "select count(*) from duckdb_tables() where schema_name = 'conformed' and table_name = 'identifier_observation'"
        if not con.execute(known).fetchall()[0][0]:
            return 0
        return int(
            con.execute("select coalesce(max(provider), 0) from conformed.identifier_observation").fetchall()[0][0]
        )
    finally:
        con.close()


def _reader(path: Path) -> str:
    text = exp.Literal.string(str(path.resolve())).sql(dialect="duckdb")
    if path.suffix.lower() in (".parquet", ".pq"):
        return f"read_parquet({text}, file_row_number = true)"
    return (
        f"(select *, row_number() over () as file_row_number from read_csv({text}, header = true, all_varchar = true,"
        " auto_detect = true, null_padding = false, quote = '\"'))"
    )


def _columns(con: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
    """Column -> type. Raises DeclarationError when the file cannot be read or lacks a column."""
    try:
        found = con.execute(f"describe select * from {_reader(path)}").fetchall()
    except duckdb.Error as error:
        raise DeclarationError(
            f"cannot be read: {str(error).splitlines()[0]}", where=str(path), expected="Parquet, or CSV with a header in UTF-8"
        ) from None  # fmt: skip
    columns = {str(name): str(type_) for name, type_, *_ in found}
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise DeclarationError(
            f"has no column {', '.join(missing)}",
            where=str(path),
            expected="the columns " + ", ".join(REQUIRED) + "; optional tier, observed_at",
        )
    return columns


def _typed(reader: str, columns: dict[str, str]) -> str:
    def text(name: str) -> str:
        return f"try(decode({name}))" if columns[name] == "BLOB" else f"{name}::varchar"

    tier, time = "null::smallint", "null::timestamp"
    wrong_tier = wrong_time = "false"
    if "tier" in columns:
        given = "nullif(trim(tier::varchar), '')"
        whole = f"try_cast({given} as integer)"
        tier = f"case when try_cast({given} as double) = {whole} and {whole} between 1 and 99 then {whole} end"
        wrong_tier = f"{given} is not null and ({tier}) is null"
    if "observed_at" in columns:
        given = "nullif(trim(observed_at::varchar), '')"
        time = f"(try_cast({given} as timestamptz) at time zone 'UTC')"
        wrong_time = f"{given} is not null and {time} is null"
    # a cast alone would round 1.5
    whole_number = "try_cast(sequence as hugeint) between 0 and 4611686018427387904"
    exact = "try_cast(sequence as double) = try_cast(sequence as hugeint)::double"
    number = f"case when {whole_number} and {exact} then try_cast(sequence as bigint) end"
    return (
        f"select {text('record_id')} as record_id, {number} as sequence, {text('identifier_type')} as identifier_type,"
        f" {text('identifier_value')} as identifier_value, {tier} as tier, {time} as observed_at,"
        f" {wrong_tier} as is_tier_wrong, {wrong_time} as is_time_wrong, file_row_number as position from {reader}"
    )


def _patterns(project: Path, rules: Rules, settings: Settings, patterns: Patterns) -> str:
    beside = project.parent / "rules"
    rules.write(beside)
    try:
        return patterns(
            beside / "blocked_identifiers.csv", settings.dbt_dir / "seeds" / "profiles" / "test_accounts.csv"
        )
    finally:
        shutil.rmtree(beside)


def _observation_model(rules: Rules, landed: str) -> str:
    """The model of observations of one file, with the types' normalisers and patterns as constants."""

    def literal(text: str) -> str:
        return exp.Literal.string(text).sql(dialect="duckdb")

    def each(line: Callable[[Any], str]) -> str:
        return (
            "\n            ".join(f"when {literal(t.name)} then {line(t)}" for t in rules.types)
            or "when null then null"
        )

    filled = {
        "__landed__": "{% raw %}" + landed + "{% endraw %}",
        "__types__": ", ".join(literal(t.name) for t in rules.types) or "null",
        "__longest__": str(LONGEST_VALUE),
        "__normalised__": each(lambda t: f"{{{{ normalise_{t.normaliser}('identifier_value') }}}}"),
        "__exact__": ", ".join(literal(t.name) for t in rules.types if t.normaliser == "exact") or "null",
        "__anything__": ", ".join(
            literal(t.name) for t in rules.types if t.normaliser == "exact" and fits_anything(t.pattern)
        )
        or "null",
        "__matches__": each(lambda t: fits_sql("value", t.pattern)),
    }
    text = (Path(__file__).parent / "scratch_models" / "identifier_observation.sql").read_text(encoding="utf-8")
    for name, value in filled.items():
        text = text.replace(name, value)
    return text
