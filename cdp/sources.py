"""What `ingest/sources/<name>.yml` may say: one source, its tables, and what its staging models give the conformed layer."""

from __future__ import annotations

import codecs
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from cdp.declarations import Declaration, Document, load, load_folder, suggest
from cdp.errors import ConfigurationError, DeclarationError
from cdp.settings import Settings

ColumnType = Literal["text", "bigint", "double", "bool", "timestamp", "date", "json"]
PiiClass = Literal["none", "name", "email", "phone", "address", "identifier", "free_text", "birth_date"]


class Column(Declaration):
    """A column that staging relies on; written short as `name: type`."""

    type: ColumnType = Field(description="Type in raw. Values that do not fit land in `<column>__v_text`.")
    description: str = ""
    pii: PiiClass = "none"
    from_field: str | None = Field(None, alias="from", description="The field's own name, where it differs.")
    pattern: str | None = Field(
        None, description="Regular expression (RE2) that a value must match as a whole; others do not fit the column."
    )
    formats: list[str] = Field(
        default_factory=list,
        description="strptime formats; a value that is written in none of them does not fit. A text stays as it is written.",
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"type": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _checks_can_be_made(self) -> Column:
        if self.formats and self.type not in ("text", "timestamp", "date"):
            raise ValueError(f"formats: only for text, timestamp and date, not for {self.type}")
        if self.pattern and self.type == "json":
            raise ValueError("pattern: not for json")
        for query, text in [("regexp_full_match('', ?)", self.pattern)] + [
            ("strftime(timestamp '2000-01-01', ?)", f) for f in self.formats
        ]:
            if text is not None:
                _try_out(query, text)
        return self

    def misfit(self) -> str:
        """Why a value does not fit, as the end of "<column>: ..."."""
        if self.formats:
            return "is not written as " + " or ".join(self.formats)
        return f"does not match {self.pattern}" if self.pattern else f"is not a {self.type}"


@cache
def _try_out(query: str, text: str) -> None:
    """DuckDB itself says whether a pattern or format can be used: its dialects are its own."""
    import duckdb

    with duckdb.connect() as con:
        try:
            con.execute(f"select {query}", [text]).fetchall()
        except duckdb.Error as error:
            raise ValueError(f'"{text}" cannot be used: {str(error).splitlines()[0]}') from None


class Table(Declaration):
    """One table of a source: `raw.<source>__<table>`."""

    description: str
    columns: dict[str, Column] = Field(description="Columns that staging relies on; others land too, and are recorded.")
    required: list[str] = Field(
        default_factory=list, description="Columns that must be present and of their type; else the row is quarantined."
    )
    # file_drop and event_log
    files: str | None = Field(None, description="Glob below the landing folder (file_drop, event_log).")
    format: Literal["csv", "jsonl", "parquet"] | None = None
    delimiter: str | None = Field(None, description="CSV delimiter; found out by itself when absent.")
    decimal_comma: bool = Field(False, description="Numbers of a CSV are written 1.234,50.")
    encoding: str = Field("utf-8", description="Encoding of text files; a BOM is removed.")
    # rest_api
    endpoint: dict[str, Any] | None = Field(
        None, description="Endpoint in dlt's declarative REST form (rest_api); what a source's own code reads (python)."
    )
    # sql_database
    sql_table: str | None = Field(None, description="Table or view of the database (sql_database).")
    cursor: str | None = Field(None, description="Column that grows with each change (sql_database, rest_api).")

    @model_validator(mode="after")
    def _required_are_columns(self) -> Table:
        for name in self.required:
            if name not in self.columns:
                raise ValueError(f'required: "{name}" is not among columns; {suggest(name, list(self.columns))}')
        for name in self.columns:
            if name != name.lower() or name.startswith("_") or "__" in name:
                raise ValueError(
                    f'columns: "{name}": write it in lower case, without "__" or a leading "_" (these are for landing)'
                )
        return self

    @field_validator("files")
    @classmethod
    def _stays_below_the_folder(cls, pattern: str | None) -> str | None:
        if pattern is not None and (pattern.startswith("/") or ".." in PurePosixPath(pattern).parts):
            raise ValueError("a path below the landing folder, without ..")
        return pattern

    @field_validator("delimiter")
    @classmethod
    def _is_one_character(cls, delimiter: str | None) -> str | None:
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
            raise ValueError('one character, not a quote or a line\'s end (a tab is written "\\t")')
        return delimiter

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, encoding: str) -> str:
        try:
            name = codecs.lookup(encoding).name
            "".encode(name)
        except (LookupError, UnicodeError):
            raise ValueError(f'unknown encoding "{encoding}"; for example utf-8, gb18030, cp1252, utf-16') from None
        return "utf-8" if name == "utf-8-sig" else name


class Provides(Declaration):
    """What one staging model gives the conformed layer. Values are SQL expressions over the model's columns.

    The model must have `record_id` ('<source>.<table>:<natural key>'), `sequence` and `observed_at`.
    """

    model: str = Field(description="Name of the staging model.")
    when: str | None = Field(None, description="Only rows for which this SQL condition holds.")
    identifiers: dict[str, str] = Field(default_factory=dict, description="Identifier type: expression.")
    attributes: dict[str, str] = Field(default_factory=dict, description="Attribute of a contact: expression.")

    model_config = ConfigDict(extra="allow", frozen=True)  # the shapes, checked against conformed.yml

    @model_validator(mode="after")
    def _shapes_are_mappings(self) -> Provides:
        for name, columns in (self.model_extra or {}).items():
            if not isinstance(columns, dict) or not all(isinstance(v, str) for v in columns.values()):
                raise ValueError(
                    f'"{name}": a shape of conformed.yml is a mapping of its columns to SQL expressions (text)'
                )
        return self

    def shapes(self) -> dict[str, dict[str, str]]:
        """The wide shapes this model provides: name -> column -> expression."""
        return dict(self.model_extra or {})


class Freshness(Declaration):
    """How old the newest load may be."""

    warn_after_hours: float = Field(36, gt=0)
    error_after_hours: float | None = Field(None, gt=0)


class Source(Declaration):
    """One source of data."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Equals the file's name.")
    description: str
    owner: str
    kind: Literal["rest_api", "file_drop", "sql_database", "event_log", "collector", "python"] = Field(
        description="How rows are read; `python`: by ingest/sources/<name>.py, where YAML cannot say it."
    )
    active: bool = Field(True, description="Part of a run when CDP_SOURCES is empty.")
    after_syncs: bool = Field(False, description="Loaded at the end of a run: what comes back from the syncs.")
    connection: list[str] = Field(
        default_factory=list, description="Keys needed as CDP_<NAME>__<KEY>, e.g. [base_url, token]."
    )
    root: str | None = Field(
        None, description="Folder of the files instead of the landing folder; may be a setting's name in braces."
    )
    client: dict[str, Any] = Field(default_factory=dict, description="Client in dlt's declarative REST form.")
    requests_per_second: float | None = Field(None, gt=0, description="Own rate limit for calls over HTTP.")
    freshness: Freshness = Field(default_factory=Freshness)
    tables: dict[str, Table]
    conformed: list[Provides] = Field(default_factory=list)

    @model_validator(mode="after")
    def _tables_fit_kind(self) -> Source:
        needs = {"rest_api": "endpoint", "file_drop": "files", "event_log": "files", "sql_database": "sql_table"}
        key = needs.get(self.kind)
        for name, table in self.tables.items():
            if key and getattr(table, key) is None:
                raise ValueError(f'table "{name}": kind {self.kind} needs "{key}:"')
            if self.kind in ("file_drop", "event_log") and table.format is None:
                raise ValueError(f'table "{name}": kind {self.kind} needs "format: csv|jsonl|parquet"')
        return self


def raw_table(source: str, table: str) -> str:
    """Name of a source's table in the schema `raw`."""
    return f"{source}__{table}"


def all_sources(settings: Settings) -> dict[str, Document[Source]]:
    """Every declared source by name, in the order of names. Raises DeclarationError."""
    found: dict[str, Document[Source]] = {}
    for document in load_folder(settings.project_root / "ingest" / "sources", Source):
        if document.value.name != document.path.stem:
            raise document.error(
                ("name",), f'found "{document.value.name}"', expected=f'"{document.path.stem}", the name of its file'
            )
        found[document.value.name] = document
    return found


def active_sources(settings: Settings) -> dict[str, Document[Source]]:
    """The sources of this run: CDP_SOURCES, or those that say `active: true`. Raises ConfigurationError for a wrong name."""
    declared = all_sources(settings)
    wanted = [name.strip() for name in settings.sources.split(",") if name.strip()]
    for name in wanted:
        if name not in declared:
            raise ConfigurationError(
                f'unknown source "{name}"',
                where="CDP_SOURCES (or --sources)",
                expected="some of " + ", ".join(declared),
                fix=suggest(name, list(declared)),
            )
    return {n: d for n, d in declared.items() if (n in wanted if wanted else d.value.active)}


def one_source(name: str, settings: Settings) -> Document[Source]:
    """One source by name. Raises DeclarationError when there is none."""
    path: Path = settings.project_root / "ingest" / "sources" / f"{name}.yml"
    if not path.exists():
        names = [p.stem for p in sorted(path.parent.glob("*.yml"))]
        raise DeclarationError(f'no source "{name}"', where=str(path.parent), fix=suggest(name, names))
    return load(path, Source)
