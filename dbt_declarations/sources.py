"""From ingest/sources/*.yml to dbt: the raw sources, the conformed unions and the list of active sources."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import yaml
from sqlglot import exp

from cdp.identity.rules import fits_sql
from cdp.settings import Settings
from cdp.sources import active_sources, raw_table
from dbt_declarations.conformed import Provider, identifier_types, load_shapes, model_name, providers
from dbt_declarations.conformed_sql import (
    LANDING_MACRO,
    incremental_config,
    landed,
    landed_union,
    rejection_sql,
    shape_properties,
    shape_sql,
    where,
)
from dbt_declarations.properties import HEADER, properties_file

CONFORMED = Path("models/generated/conformed")


def compile_sources(settings: Settings) -> dict[Path, str]:
    """Generated files by their path below the dbt project. Raises DeclarationError or ConfigurationError."""
    active = active_sources(settings)
    used = providers(active, settings)
    shapes = load_shapes(settings).value.shapes
    files = {
        Path("macros/generated/active_sources.sql"): _active_macro(list(active)),
        Path("macros/generated/is_landing.sql"): LANDING_MACRO,
        Path("macros/generated/patterns.sql"): pattern_macros(
            settings.dbt_dir / "seeds" / "identity" / "blocked_identifiers.csv",
            settings.dbt_dir / "seeds" / "profiles" / "test_accounts.csv",
        ),
        Path("models/generated/raw/_raw__sources.yml"): _sources_file(active),
    }
    for name, shape in shapes.items():
        serving = [p for p in used if name in p.provides.shapes()]
        files[CONFORMED / f"{model_name(name)}.sql"] = shape_sql(name, shape, serving)
    files[CONFORMED / "conformed_rejection.sql"] = rejection_sql(shapes, used)
    files[CONFORMED / "identifier_observation.sql"] = _observations(used, settings)
    files[CONFORMED / "contact_attribute.sql"] = _attributes(used, settings)
    models = [shape_properties(name, shape) for name, shape in shapes.items()]
    models += [_OBSERVATION_DOCS, _ATTRIBUTE_DOCS, _REJECTION_DOCS]
    files[CONFORMED / "_conformed__models.yml"] = properties_file(models)
    return files


def _active_macro(names: list[str]) -> str:
    listed = ", ".join(f"'{name}'" for name in names)
    return (
        "{#- Made from CDP_SOURCES and ingest/sources/*.yml. -#}\n"
        "{% macro is_active(source) %}{{ return(source in [" + listed + "]) }}{% endmacro %}\n"
    )


def pattern_macros(blocked_path: Path, tests_path: Path) -> str:
    """The pattern seeds as constants in SQL: a pattern that comes from a join is compiled anew for every row (measured:
    277 s instead of 1 s on 540,000 rows)."""
    blocked, tests = _rows(blocked_path), _rows(tests_path)

    def case(rows: list[dict[str, str]], type_key: str) -> str:
        cases = []
        for row in rows:
            match = f"regexp_matches(__value__, {_literal(row['pattern'])})"
            if row[type_key] != "*":
                match = f"__type__ = {_literal(row[type_key])} and {match}"
            cases.append(f"when {match} then {_literal(row['reason'])}")
        if not cases:
            return "null::varchar"
        # nearly all values match none of them, which one pattern of all tells in the time of one
        any_of = _literal("|".join(f"(?:{row['pattern']})" for row in rows))
        return f"case when not regexp_matches(__value__, {any_of}) then null {' '.join(cases)} end"

    def macro(name: str, text: str) -> str:
        filled = _escaped(text).replace("__type__", '" ~ type ~ "').replace("__value__", '" ~ value ~ "')
        return f'{{% macro {name}(type, value) %}}{{{{ return("{filled}") }}}}{{% endmacro %}}\n'

    return (
        "{#- Made from seeds/identity/blocked_identifiers.csv and seeds/profiles/test_accounts.csv. -#}\n"
        + macro("blocked_reason", case(blocked, "identifier_type"))
        + macro("test_reason", case(tests, "attribute"))
    )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _literal(text: str) -> str:
    return exp.Literal.string(text).sql(dialect="duckdb")


def _dbt_source(active: dict[str, Any]) -> dict[str, Any]:
    tables = []
    for name, document in active.items():
        for table_name, table in document.value.tables.items():
            columns = [
                {"name": column, "description": spec.description, "meta": {"pii": spec.pii}}
                for column, spec in table.columns.items()
            ]
            tables.append(
                {
                    "name": raw_table(name, table_name),
                    "description": f"{table.description} Source: {document.value.description}",
                    "columns": columns,
                    "config": {
                        "meta": {
                            "owner": document.value.owner,
                            "dagster": {"asset_key": ["raw", raw_table(name, table_name)]},
                        }
                    },
                }
            )
    return {
        "name": "raw",
        "schema": "raw",
        "description": "Sources as they were landed: every version of every row, numbered once by _cdp_sequence.",
        "tables": tables,
    }


_WITHOUT_CHECK = "alter table {{ this }} drop column if exists identifier_check"
"""For warehouses from when a second hash of each value was kept."""


def _observations(used: list[Provider], settings: Settings) -> str:
    types = identifier_types(settings)
    serving = [p for p in used if p.provides.identifiers]
    branches = []
    for number, provider in enumerate(serving):
        for position, name in enumerate(provider.provides.identifiers):
            normalised = f"{{{{ normalise_{types[name]['normaliser']}('value_{position}') }}}}"
            text = f"""select
        '{provider.source}' as source,
        record_id,
        sequence,
        observed_at,
        '{name}' as identifier_type,
        value_{position} as found_value,
        {normalised} as normalised_value,
        coalesce({fits_sql("normalised_value", types[name]["pattern"])}, false) as is_usable,
        '{provider.version}' as provider
    from provider_{number}
    where nullif(trim(value_{position}), '') is not null"""
            branches.append((provider, text))
    return f"""-- Every identifier on every record. One row is one identifier type on one raw row.
{incremental_config(serving, _WITHOUT_CHECK)}
with {_provider_ctes(serving, "identifiers")}provided as (
    {landed_union(branches, _NO_OBSERVATION)}
),

final as (
    select
        source,
        record_id,
        sequence as record_key,
        sequence,
        observed_at,
        identifier_type,
        case when is_usable then normalised_value end as identifier_value,
        case when is_usable then {{{{ hash_key("identifier_type || ':' || normalised_value") }}}} end as identifier_key,
        null::smallint as tier,
        case when not is_usable then found_value end as unusable_value,
        provider
    from provided
)

select * from final
"""


def _provider_ctes(serving: list[Provider], part: str) -> str:
    """One CTE a provider with all its values side by side, so that the staging view is computed once and not per value."""
    ctes = []
    for number, provider in enumerate(serving):
        declared = getattr(provider.provides, part)
        values = [f"({provider.expression(part, name)})::varchar" for name in declared]
        columns = ",\n        ".join(f"{value} as value_{position}" for position, value in enumerate(values))
        any_value = f"coalesce({', '.join(f'value_{position}' for position in range(len(values)))}) is not null"
        text = f"""provider_{number} as materialized (
    select * from (
        select
        record_id,
        sequence,
        observed_at,
        {columns}
    from {{{{ ref('{provider.provides.model}') }}}}{where(provider, incremental=True)}
    ) as found
    where {any_value}
),

"""
        ctes.append(landed(provider, text))
    return "".join(ctes)


_NO_OBSERVATION = (
    "select null::varchar as source, null::varchar as record_id, null::bigint as sequence, null::timestamp as observed_at,\n"
    "        null::varchar as identifier_type, null::varchar as found_value, null::varchar as normalised_value, false as is_usable, null::varchar as provider\n"
    "    where false"
)


def _attributes(used: list[Provider], settings: Settings) -> str:
    types = identifier_types(settings)
    serving = [p for p in used if p.provides.attributes]
    branches = []
    for number, provider in enumerate(serving):
        for position, name in enumerate(provider.provides.attributes):
            normaliser = types[name]["normaliser"] if name in types else "exact"
            text = f"""select
        '{provider.source}' as source,
        record_id,
        sequence,
        observed_at,
        '{name}' as attribute,
        {{{{ normalise_{normaliser}('value_{position}') }}}} as attribute_value,
        '{provider.version}' as provider
    from provider_{number}
    where nullif(trim(value_{position}), '') is not null"""
            branches.append((provider, text))
    empty = (
        "select null::varchar as source, null::varchar as record_id, null::bigint as sequence,\n"
        "        null::timestamp as observed_at, null::varchar as attribute, null::varchar as attribute_value,\n"
        "        null::varchar as provider\n    where false"
    )
    return f"""-- What sources say about contacts. One row is one attribute on one raw row.
{incremental_config(serving)}
with {_provider_ctes(serving, "attributes")}provided as (
    {landed_union(branches, empty)}
)

select *
from provided
where attribute_value is not null
"""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _sources_file(active: dict[str, Any]) -> str:
    document = {"version": 2, "sources": [_dbt_source(active)]}
    return HEADER + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=160)


def _column(name: str, description: str, *tests: Any) -> dict[str, Any]:
    return {"name": name, "description": description} | ({"data_tests": list(tests)} if tests else {})


_COMMON = [
    _column("source", "Source it came from.", "not_null"),
    _column("record_id", "Source record: <source>.<table>:<natural key>.", "not_null"),
    _column("sequence", "Ingestion sequence of the raw row.", "not_null"),
    _column("observed_at", "When the record says it was so (UTC)."),
]
_REJECTION_DOCS: dict[str, Any] = {
    "name": "conformed_rejection",
    "description": "Rows that a shape could not take because a required column is null. One row is one raw row and shape.",
    "columns": [
        *[c for c in _COMMON if c["name"] != "observed_at"],
        _column("shape", "Shape of conformed.yml that could not take the row.", "not_null"),
        _column("missing_columns", "Required columns that are null.", "not_null"),
    ],
}
_OBSERVATION_DOCS: dict[str, Any] = {
    "name": "identifier_observation",
    "description": "Every identifier on every record, normalised. One row is one identifier type on one raw row (sequence, identifier_type, provider).",
    "columns": [
        *_COMMON,
        _column("record_key", "Groups what stands on one record: the raw row's sequence.", "not_null"),
        _column("identifier_type", "Type, a row of identifier_types.", "not_null"),
        _column("identifier_value", "Normalised value; null when it does not fit the type's pattern."),
        _column("identifier_key", "63-bit hash of type and value; null with identifier_value."),
        _column("tier", "Tier of the evidence, where the record says one; else the type's."),
        _column("unusable_value", "What was found, where it cannot be used as an identifier."),
        _column("provider", "Version of the declaration that gave the row."),
    ],
}
_ATTRIBUTE_DOCS: dict[str, Any] = {
    "name": "contact_attribute",
    "description": "What sources say about contacts. One row is one attribute on one raw row (sequence, attribute, provider).",
    "columns": [
        *_COMMON,
        _column("attribute", "Name of the attribute.", "not_null"),
        _column("attribute_value", "Its value as text; e-mails and phones normalised.", "not_null"),
        _column("provider", "Version of the declaration that gave the row."),
    ],
}
