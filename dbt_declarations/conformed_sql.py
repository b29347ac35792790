"""The SQL that unites what the sources provide to each shape of the conformed layer."""

from __future__ import annotations

from typing import Any

from sqlglot import parse_one
from sqlglot.errors import SqlglotError

from cdp.errors import DeclarationError
from dbt_declarations.conformed import Provider, Shape, model_name

# The macro by which conformed models read what a build looks at. Planning a union of all providers took seconds of each batch.
LANDING_MACRO = """{#-
Whether a build looks at what a source landed. A run looks at all sources. A micro-batch of `cdp live` names those it loaded in
CDP_LANDED_SOURCES: what it reads incrementally, provider by provider above the provider's own last row, it reads from these alone.
The others' rows wait for the next run with their place kept.
-#}
{% macro is_landing(source) -%}
    {{ return(not is_incremental() or env_var('CDP_LANDED_SOURCES', '') == '' or source in env_var('CDP_LANDED_SOURCES').split(',')) }}
{%- endmacro %}
"""


def shape_sql(name: str, shape: Shape, used: list[Provider]) -> str:
    """The model of one shape."""
    branches = [(provider, _branch(name, shape, provider)) for provider in used]
    provided = (
        landed_union(branches, _empty(shape)) if shape.first_wins else union([b for _, b in branches], _empty(shape))
    )
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
    {provided}
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


def incremental_config(serving: list[Provider], before: str = "") -> str:
    """An append-only model. A provider whose declaration or staging SQL changed is taken out first and read again whole,
    so that an edit needs nothing but a run that looks at all sources. `before`: a statement for a table that is there already."""
    versions = ", ".join(f"'{version}'" for version in dict.fromkeys(p.version for p in serving)) or "''"
    return (
        "{{ config(\n    materialized='incremental',\n    incremental_strategy='append',\n    on_schema_change='fail',\n"
        "    pre_hook="
        + (f'["{{% if is_incremental() %}}{before}{{% else %}}select 1{{% endif %}}", ' if before else "")
        + '"{% if is_incremental() and is_landing(none) %}delete from {{ this }} where provider not in ('
        + versions
        + ")"
        '{% else %}select 1{% endif %}"' + ("]" if before else "") + "\n) }}\n"
    )


def union(branches: list[str], empty: str) -> str:
    """The branches below one another; `empty` (its columns, without a row) where there is none."""
    return "\n    union all\n    ".join(branches) or empty


def landed_union(branches: list[tuple[Provider, str]], empty: str) -> str:
    """The same, of the sources that the build looks at (macro `is_landing`)."""
    parts = [f"{landed(provider, f'{chr(10)}    union all{chr(10)}    {text}')}" for provider, text in branches]
    return empty + "".join(parts)


def landed(provider: Provider, text: str) -> str:
    """Text that is there when the build looks at the provider's source."""
    return f"{{% if is_landing('{provider.source}') %}}{text}{{% endif %}}"


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
    return f"""-- Rows that a shape of the conformed layer could not take. One row is one raw row and shape.
{{{{ config(materialized='view') }}}}

with rejected as (
    {union(branches, empty)}
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
