"""Writes the SQL that turns a source model into rows as the destination shall see them.

Everything that comes from a declaration enters as an identifier or literal rendered by sqlglot, never as bare text.
"""

from __future__ import annotations

from sqlglot import exp

from reverse_etl.catalog import MappedField, ResolvedSync
from reverse_etl.destination_spec import FieldType
from reverse_etl.normalise import normalised

_SQL_TYPES: dict[FieldType, str] = {
    "text": "varchar",
    "integer": "bigint",
    "number": "double",
    "boolean": "boolean",
    "date": "date",
    "datetime": "timestamp",
    "list": "varchar[]",
}


def desired_sql(resolved: ResolvedSync) -> str:
    """One row a source row: key (text, null if any part is), payload (JSON text, fields in name order), reasons.

    `reasons` lists the broken field rules as text without values. A key of several columns is a JSON list.
    """
    schema, model = resolved.relation
    fields = resolved.fields
    typed = ",\n    ".join(f"{_value(field)} as v{n}, {_unreadable(field)} as bad{n}" for n, field in enumerate(fields))
    payload = ",\n    ".join(_pair(field, f"v{n}") for n, field in enumerate(fields))
    reasons = [reason for n, field in enumerate(fields) for reason in _reasons(field, f"v{n}", f"bad{n}")]
    return f"""
with typed as (
  select {_key(resolved.sync.key)} as key,
    {typed}
  from {_name(schema)}.{_name(model)}
)
select
  key,
  '{{' || concat_ws(',',
    {payload}) || '}}' as payload,
  concat_ws('; ', {", ".join(reasons) or "null"}) as reasons
from typed"""


def field_changed_sql(field: str, before: str, after: str) -> str:
    """An expression: the field's name where its value differs between two JSON columns, else null."""
    path = _text(f'$."{field}"')
    return (
        f"case when json_extract({_name(before)}, {path}) is distinct from json_extract({_name(after)}, {path})"
        f" then {_text(field)} end"
    )


def _key(columns: list[str]) -> str:
    parts = [f"nullif(cast({_name(column)} as varchar), '')" for column in columns]
    if len(parts) == 1:
        return parts[0]
    whole = " and ".join(f"{part} is not null" for part in parts)
    return f"case when {whole} then cast(to_json([{', '.join(parts)}]) as varchar) end"


def _value(field: MappedField) -> str:
    kind = field.rule.type
    value = f"try_cast({_name(field.map.column)} as {_SQL_TYPES[kind]})"
    if kind == "text":
        # Sources say "nothing" as null and as empty text; destinations must not tell the two apart.
        value = f"nullif({value}, '')"
        value = normalised(value, field.rule.normalise, field.rule.hash)
    if field.map.default is not None:
        value = f"coalesce({value}, try_cast({_text(str(field.map.default))} as {_SQL_TYPES[kind]}))"
    return value


def _unreadable(field: MappedField) -> str:
    if field.rule.type == field.column_type:
        return "false"
    column, sql_type = _name(field.map.column), _SQL_TYPES[field.rule.type]
    return f"({column} is not null and try_cast({column} as {sql_type}) is null)"


def _pair(field: MappedField, value: str) -> str:
    match field.rule.type:
        case "date":
            written = f"strftime({value}, '%Y-%m-%d')"
        case "datetime":
            written = f"strftime({value}, '%Y-%m-%dT%H:%M:%S.%gZ')"
        case _:
            written = value
    name = _text(f'"{field.name}":')
    if field.map.nulls == "omit":
        # concat_ws leaves nulls out: that is how an omitted field stays out of the payload.
        return f"case when {value} is not null then {name} || cast(to_json({written}) as varchar) end"
    return f"{name} || coalesce(cast(to_json({written}) as varchar), 'null')"


def _reasons(field: MappedField, value: str, unreadable: str) -> list[str]:
    rule, name = field.rule, field.name
    found = [(unreadable, f"{name}: cannot be read as {rule.type}")] if rule.type != field.column_type else []
    if rule.required:
        found.append((f"{value} is null and not {unreadable}", f"{name}: has no value"))
    if rule.type == "number":
        found.append((f"not isfinite({value})", f"{name}: is not a finite number"))
    if rule.type == "text" and rule.max_length is not None:
        found.append((f"length({value}) > {rule.max_length}", f"{name}: is longer than {rule.max_length} characters"))
    if rule.type == "text" and rule.pattern is not None:
        found.append((f"not regexp_full_match({value}, {_text(rule.pattern)})", f"{name}: does not have the form"))
    if rule.values is not None:
        accepted = f"[{', '.join(_text(v) for v in rule.values)}]"
        several = value if rule.type == "list" else f"[{value}]"
        found.append(
            (f"{value} is not null and not list_has_all({accepted}, {several})", f"{name}: is not an accepted value")
        )
    return [f"case when {condition} then {_text(reason)} end" for condition, reason in found]


def _name(name: str) -> str:
    return exp.to_identifier(name, quoted=True).sql("duckdb")


def _text(value: str) -> str:
    return exp.Literal.string(value).sql("duckdb")
