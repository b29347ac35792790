"""The conformed layer's shapes (dbt_project/conformed.yml) and the SQL that unites what the sources provide."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from typing import Any

from pydantic import Field
from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

from cdp.declarations import Declaration, Document, load, suggest
from cdp.errors import DeclarationError
from cdp.settings import Settings
from cdp.sources import Provides, Source
from dbt_declarations.tracking import enforcement_versions


class ShapeColumn(Declaration):
    """A column of a shape."""

    type: str = Field(description="DuckDB type.")
    required: bool = Field(False, description="A source that provides the shape must map it; its rows may not lack it.")
    description: str


class Shape(Declaration):
    """One model of the conformed layer."""

    description: str
    key: list[str] = Field(min_length=1, description="With the source: the key of a row.")
    first_wins: bool = Field(False, description="Of several rows of one key the first arrived counts; incremental.")
    money: bool = Field(False, description="Adds value: amount in the reporting currency.")
    columns: dict[str, ShapeColumn]
    derived: dict[str, str] = Field(default_factory=dict, description="Further columns as SQL over the others.")


class Conformed(Declaration):
    """dbt_project/conformed.yml."""

    shapes: dict[str, Shape]


@dataclass(frozen=True)
class Provider:
    """One entry of a source's `conformed:` list; `version` changes with everything that decides its rows."""

    document: Document[Source]
    position: int
    version: str

    @property
    def provides(self) -> Provides:
        """The declared entry."""
        return self.document.value.conformed[self.position]

    @property
    def source(self) -> str:
        """Name of the source."""
        return self.document.value.name

    def expression(self, *keys: str) -> str:
        """The SQL expression declared at `keys`, checked and written anew. Raises DeclarationError."""
        value: Any = self.provides.model_dump()
        for key in keys:
            value = value[key]
        return check_expression(self.document, ("conformed", self.position, *keys), value)


def load_shapes(settings: Settings) -> Document[Conformed]:
    """Read conformed.yml."""
    return load(settings.dbt_dir / "conformed.yml", Conformed)


def identifier_types(settings: Settings) -> dict[str, dict[str, str]]:
    """Rows of seeds/identity/identifier_types.csv by name."""
    path = settings.dbt_dir / "seeds" / "identity" / "identifier_types.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def providers(sources: dict[str, Document[Source]], settings: Settings) -> list[Provider]:
    """All entries of the active sources, with their versions. Raises DeclarationError for what does not exist."""
    shapes = load_shapes(settings).value.shapes
    types = identifier_types(settings)
    enforced = enforcement_versions(settings)
    staging = {path.stem: path for path in sorted((settings.dbt_dir / "models" / "staging").rglob("*.sql"))}
    found = []
    for document in sources.values():
        for position, provides in enumerate(document.value.conformed):
            keys = ("conformed", position)
            if provides.model not in staging:
                raise document.error(
                    (*keys, "model"),
                    f'no staging model "{provides.model}"',
                    expected="a file dbt_project/models/staging/**/<model>.sql",
                    fix=suggest(provides.model, list(staging)),
                )
            for name in provides.identifiers:
                if name not in types:
                    raise document.error(
                        (*keys, "identifiers", name),
                        f'unknown identifier type "{name}"',
                        expected="a name in dbt_project/seeds/identity/identifier_types.csv",
                        fix=suggest(name, list(types)),
                    )
            for name, columns in provides.shapes().items():
                _check_shape(document, position, name, columns, shapes)
            text = staging[provides.model].read_text(encoding="utf-8") + provides.model_dump_json()
            text += str(sorted(types.items())) if provides.identifiers else ""
            # a plan that blocks or drops otherwise lets other rows through
            text += enforced.get(document.value.name, "")
            version = hashlib.sha256(text.encode()).hexdigest()[:12]
            found.append(Provider(document, position, version))
    return found


def _check_shape(
    document: Document[Source], position: int, name: str, columns: dict[str, str], shapes: dict[str, Shape]
) -> None:
    keys = ("conformed", position, name)
    if name not in shapes:
        known = ["model", "when", "identifiers", "attributes", *shapes]
        raise document.error(keys, "unknown key", expected="one of " + ", ".join(known), fix=suggest(name, known))
    accepted = shapes[name].columns
    for column in columns:
        if column not in accepted:
            raise document.error(
                (*keys, column),
                f'the shape "{name}" has no such column',
                expected="one of " + ", ".join(accepted),
                fix=suggest(column, list(accepted)),
            )
    for column, spec in accepted.items():
        if spec.required and column not in columns:
            raise document.error(
                keys, f'the column "{column}" is required but missing', fix=f'add "{column}: <expression>"'
            )


def check_expression(document: Document[Any], keys: tuple[str | int, ...], text: str) -> str:
    """Parse a declared scalar expression; no subquery, aggregate, window or statement. Returns it as DuckDB SQL."""
    try:
        tree = parse_one(text, dialect="duckdb")
    except SqlglotError as error:
        raise document.error(keys, f'is not a SQL expression: "{text}"', expected=str(error).splitlines()[0]) from None
    for kind, name in (
        (exp.Query, "a subquery"),
        (exp.AggFunc, "an aggregate"),
        (exp.Window, "a window"),
        (exp.DDL, "a statement"),
        (exp.Command, "a statement"),
    ):
        if tree.find(kind):
            raise document.error(
                keys,
                f'{name} does not belong here: "{text}"',
                expected="an expression over one row of the staging model",
            )
    return tree.sql(dialect="duckdb")


def shape_sql(name: str, shape: Shape, used: list[Provider]) -> str:
    """The model of one shape."""
    branches = [_branch(name, shape, provider) for provider in used] or [_empty(shape)]
    header = f"-- {shape.description}\n"
    order = "sequence, record_id" if shape.first_wins else "sequence desc, record_id"
    key = " || '/' || ".join(f"{column}::varchar" for column in shape.key)
    derived = "".join(f",\n        {_sql(text)} as {column}" for column, text in shape.derived.items())
    required = "\n        and ".join(f"{c} is not null" for c, s in shape.columns.items() if s.required)
    value = ""
    join = ""
    if shape.money:
        value = ",\n        (keyed.amount * coalesce(rates.rate, 1))::decimal(18, 4) as value"
        join = (
            "\n    left join {{ ref('stg_reference__currency_rate') }} as rates\n"
            "        on keyed.currency = rates.currency"
        )
    config, new = _incremental(name, used) if shape.first_wins else ("{{ config(materialized='table') }}\n", "")
    return f"""{header}{config}
with provided as (
    {(chr(10) + "    union all" + chr(10) + "    ").join(branches)}
),

keyed as (
    select
        source || ':' || {key} as {name}_key,
        *{derived}
    from provided
    where {required or "true"}
),

chosen as (
    select keyed.*{value}
    from keyed{join}
    qualify row_number() over (partition by keyed.{name}_key order by {order.replace("sequence", "keyed.sequence").replace("record_id", "keyed.record_id")}) = 1
){new}

select * from {"fresh" if new else "chosen"}
"""


def _incremental(name: str, used: list[Provider]) -> tuple[str, str]:
    """Config, and the last step: only keys that are not there yet."""
    config = incremental_config(used)
    new = f""",

fresh as (
    select chosen.*
    from chosen
    {{% if is_incremental() %}}
    anti join {{{{ this }}}} as landed on chosen.{name}_key = landed.{name}_key
    {{% endif %}}
)"""
    return config, new


def incremental_config(serving: list[Provider]) -> str:
    """An append-only model. A provider whose declaration or staging SQL changed is taken out first and read again whole,
    so that an edit needs nothing but a build."""
    versions = ", ".join(f"'{version}'" for version in dict.fromkeys(p.version for p in serving)) or "''"
    return (
        "{{ config(\n    materialized='incremental',\n    incremental_strategy='append',\n    on_schema_change='fail',\n"
        '    pre_hook="{% if is_incremental() %}delete from {{ this }} where provider not in (' + versions + ")"
        '{% else %}select 1{% endif %}"\n) }}\n'
    )


def _branch(name: str, shape: Shape, provider: Provider) -> str:
    given = provider.provides.shapes()[name]
    columns = ",\n        ".join(
        f"({provider.expression(name, column)})::{spec.type} as {column}"
        if column in given
        else f"null::{spec.type} as {column}"
        for column, spec in shape.columns.items()
    )
    version = f",\n        '{provider.version}' as provider" if shape.first_wins else ""
    return f"""select
        '{provider.source}' as source,
        record_id,
        sequence,
        {columns}{version}
    from {{{{ ref('{provider.provides.model}') }}}}{where(provider, incremental=shape.first_wins)}"""


def where(provider: Provider, *, incremental: bool, condition: str | None = None) -> str:
    """The branch's filter: the declared `when`, and in an incremental run only what is above the provider's last row."""
    conditions = []
    if provider.provides.when:
        conditions.append(provider.expression("when"))
    if condition:
        conditions.append(condition)
    text = "\n    where " + "\n        and ".join(conditions) if conditions else ""
    if incremental:
        word = "and" if conditions else "where"
        text += (
            "\n    {% if is_incremental() %}\n    " + word + " sequence > (\n"
            f"        select coalesce(max(landed.sequence), 0) from {{{{ this }}}} as landed where landed.provider = '{provider.version}'\n"
            "    )\n    {% endif %}"
        )
    return text


def _empty(shape: Shape) -> str:
    columns = ",\n        ".join(f"null::{spec.type} as {column}" for column, spec in shape.columns.items())
    version = ",\n        null::varchar as provider" if shape.first_wins else ""
    return (
        f"select\n        null::varchar as source,\n        null::varchar as record_id,\n        null::bigint as sequence,\n"
        f"        {columns}{version}\n    where false"
    )


def _sql(text: str) -> str:
    try:
        return parse_one(text, dialect="duckdb").sql(dialect="duckdb")
    except SqlglotError as error:
        raise DeclarationError(
            f'is not a SQL expression: "{text}"', where="dbt_project/conformed.yml", expected=str(error)
        ) from None


def rejection_sql(shapes: dict[str, Shape], used: list[Provider]) -> str:
    """The view of rows that a shape could not take, because a required column is null: they are missing there, not lost."""
    branches = []
    for provider in used:
        for name in provider.provides.shapes():
            required = [column for column, spec in shapes[name].columns.items() if spec.required]
            expressions = {column: provider.expression(name, column) for column in required}
            missing = ", ".join(
                f"case when ({text}) is null then '{column}' end" for column, text in expressions.items()
            )
            condition = " or ".join(f"({text}) is null" for text in expressions.values())
            branches.append(
                f"""select
        '{provider.source}' as source,
        record_id,
        sequence,
        '{name}' as shape,
        concat_ws(', ', {missing}) as missing_columns
    from {{{{ ref('{provider.provides.model}') }}}}{where(provider, incremental=False, condition=f"({condition})")}"""
            )
    empty = (
        "select null::varchar as source, null::varchar as record_id, null::bigint as sequence,\n"
        "        null::varchar as shape, null::varchar as missing_columns\n    where false"
    )
    union = "\n    union all\n    ".join(branches)
    return f"""-- Rows that a shape of the conformed layer could not take. One row is one raw row and shape.
{{{{ config(materialized='view') }}}}

with rejected as (
    {union or empty}
)

select * from rejected
"""


def shape_properties(name: str, shape: Shape) -> dict[str, Any]:
    """Docs and tests of a shape's model, for its YAML."""
    key: dict[str, Any] = {"name": f"{name}_key", "description": "source:key.", "data_tests": ["unique", "not_null"]}
    columns = [
        key,
        {"name": "source", "description": "Source it came from."},
        {"name": "record_id", "description": "Source record: <source>.<table>:<natural key>."},
        {"name": "sequence", "description": "Ingestion sequence of the row it came from."},
    ]
    for column, spec in shape.columns.items():
        entry: dict[str, Any] = {"name": column, "description": spec.description}
        if spec.required:
            entry["data_tests"] = ["not_null"]
        columns.append(entry)
    columns += [{"name": column, "description": "Key into the other conformed models."} for column in shape.derived]
    if shape.money:
        columns.append({"name": "value", "description": "amount in the reporting currency."})
    return {"name": model_name(name), "description": shape.description, "columns": columns}


def model_name(shape: str) -> str:
    """Name of a shape's model; `order` is a word of SQL, and `account` is the profile."""
    return {"order": "orders", "account": "account_record"}.get(shape, shape)
