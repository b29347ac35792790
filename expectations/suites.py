"""Reads the suites. Cheap: YAML and sqlglot only; Great Expectations is not imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from cdp.declarations import Document, load_folder, suggest
from cdp.errors import DeclarationError
from cdp.settings import Settings
from cdp.sources import active_sources
from expectations.columns import SCHEMAS, Catalog, Columns
from expectations.declaration import Expectation, SuiteFile
from expectations.queries import BATCH, QueryError, check_query


@dataclass(frozen=True)
class Check:
    """One check of a suite. `name` is unique in its suite and stays the same while column and type do."""

    name: str
    expectation: str
    column: str | None
    severity: Literal["error", "warn"]
    blocking: bool
    why: str
    fix: str
    kwargs: dict[str, Any] = field(default_factory=dict, hash=False)
    unexpected_rows: str | None = None
    reveals_pii: bool = False  # a column it looks at holds personal data: what it observes is not shown


@dataclass(frozen=True)
class Suite:
    """The checks of one table of the warehouse, in the order of the file."""

    schema: str
    table: str
    owner: str
    description: str
    checks: tuple[Check, ...]
    path: Path

    @property
    def name(self) -> str:
        """`<schema>.<table>`: the suite's name, and the table's in SQL."""
        return f"{self.schema}.{self.table}"


def suites(settings: Settings) -> list[Suite]:
    """`read_suites`, read anew only when a file of the suites changed: a run asks for them once a source (0.5 s each)."""
    files = sorted((settings.project_root / "expectations").rglob("*.yml"))
    return list(_read_once(settings, tuple((str(f), f.stat().st_mtime_ns) for f in files)))


@lru_cache(maxsize=8)
def _read_once(settings: Settings, _stamp: tuple[tuple[str, int], ...]) -> tuple[Suite, ...]:
    return tuple(read_suites(settings))


def read_suites(settings: Settings) -> list[Suite]:
    """Every suite in the order of schema and table; in raw only those of active sources.

    Raises DeclarationError with everything that is wrong in any suite, those of inactive sources included.
    """
    catalog = Catalog(settings)
    folder = settings.project_root / "expectations"
    found: list[tuple[str, Document[SuiteFile]]] = []
    errors: list[DeclarationError] = []
    for path in sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []:
        if not any(path.glob("*.yml")):
            continue
        if path.name not in SCHEMAS:
            errors.append(
                DeclarationError(
                    "suites stand in a folder named like the schema of their table",
                    where=str(path),
                    expected="one of " + ", ".join(SCHEMAS),
                    fix=suggest(path.name, SCHEMAS),
                )
            )
            continue
        try:
            found += [(path.name, document) for document in load_folder(path, SuiteFile)]
        except DeclarationError as error:
            errors.append(error)
    for schema, document in found:
        errors += _errors(schema, document, catalog)
    if errors:
        raise DeclarationError.all_of(errors)
    active = active_sources(settings)
    return [
        _suite(schema, document, catalog)
        for schema, document in sorted(found, key=lambda pair: (SCHEMAS.index(pair[0]), pair[1].value.table))
        if schema != "raw" or document.value.table.split("__")[0] in active
    ]


def _suite(schema: str, document: Document[SuiteFile], catalog: Catalog) -> Suite:
    file = document.value
    pii = catalog.tables(schema)[file.table].pii
    checks = tuple(_check(expectation, pii) for expectation in file.expectations)
    return Suite(schema, file.table, file.owner, file.description, checks, document.path)


def _check(declared: Expectation, pii: frozenset[str]) -> Check:
    columns = [name for _, name in declared.column_names]
    return Check(
        name=declared.slug,
        expectation=declared.type,
        column=", ".join(columns) or None,
        severity=declared.severity,
        blocking=declared.blocking,
        why=declared.why,
        fix=declared.fix,
        kwargs=dict(declared.kwargs),
        unexpected_rows=declared.unexpected_rows,
        reveals_pii=any(name in pii for name in columns),
    )


def _errors(schema: str, document: Document[SuiteFile], catalog: Catalog) -> list[DeclarationError]:
    file = document.value
    if file.table != document.path.stem:
        expected = f'"{document.path.stem}", the name of its file'
        return [document.error(("table",), f'found "{file.table}"', expected=expected)]
    tables = catalog.tables(schema)
    if file.table not in tables:
        what = "a table of a source in ingest/sources" if schema == "raw" else f"a model in dbt_project/models/{schema}"
        hint = suggest(file.table, list(tables))
        return [document.error(("table",), f'no table "{file.table}" in {schema}', expected=what, fix=hint)]
    errors: list[DeclarationError] = []
    names: dict[str, int] = {}
    for position, declared in enumerate(file.expectations):
        key = ("expectations", position)
        if declared.slug in names:
            errors.append(
                document.error(
                    key,
                    f'is named "{declared.slug}" like expectations.{names[declared.slug]}',
                    expected="names that are unique in the suite",
                    fix='add "name:" to one of them',
                )
            )
        names.setdefault(declared.slug, position)
        errors += _column_errors(document, key, declared, tables[file.table])
        if declared.unexpected_rows is not None:
            known = {
                s: {t: c.names for t, c in catalog.tables(s).items()} for s in _schemas_in(declared.unexpected_rows)
            }
            try:
                check_query(declared.unexpected_rows, SCHEMAS, {**known, "": {BATCH: tables[file.table].names}})
            except QueryError as error:
                place = (*key, "unexpected_rows")
                errors.append(document.error(place, "cannot be used", expected=str(error).rstrip("; ")))
    return errors


def _column_errors(
    document: Document[SuiteFile], key: tuple[str | int, ...], declared: Expectation, columns: Columns
) -> list[DeclarationError]:
    if columns.names is None:
        return []
    return [
        document.error(
            (*key, "kwargs", argument),
            f'no column "{name}"',
            expected="one of " + ", ".join(columns.names),
            fix=suggest(name, list(columns.names)),
        )
        for argument, name in declared.column_names
        if name not in columns.names
    ]


def _schemas_in(query: str) -> list[str]:
    """Schemas whose name stands in the query: only their declarations need to be read."""
    return [schema for schema in SCHEMAS if f"{schema}." in query]
