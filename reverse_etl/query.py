"""Writes the SQL that turns a source into rows as the destination shall see them.

Everything that comes from a declaration enters as an identifier or literal rendered by sqlglot, never as bare text.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from reverse_etl.catalog import MappedField, ResolvedSync
from reverse_etl.destination_spec import SQL_TYPES
from reverse_etl.normalise import normalised
from reverse_etl.template import template_sql


def keys_sql(resolved: ResolvedSync, relation: str) -> str:
    """One row a source row: key (text, null if any part is). A key of several columns is a JSON list."""
    return f"select {_key(resolved.sync.key)} as key from {relation}"


def typed_sql(resolved: ResolvedSync, relation: str) -> str:
    """One row a source row: key, person, and of each field its value (v0, v1, ...) and whether it is unreadable (bad0, ...)."""
    person = f"cast({name_sql(resolved.sync.person)} as varchar)" if resolved.sync.person else "cast(null as varchar)"
    fields = enumerate(resolved.fields)
    typed = ",\n  ".join(f"{_value(field)} as v{n}, {_unreadable(field)} as bad{n}" for n, field in fields)
    return f"select {_key(resolved.sync.key)} as key, {person} as person,\n  {typed}\nfrom {relation}"


def payload_sql(fields: Sequence[MappedField]) -> str:
    """An expression over typed rows: JSON text of all fields in name order."""
    pairs = ", ".join(f"{text_sql(field.name)}: {_written(field, f'v{n}')}" for n, field in enumerate(fields))
    return f"cast(to_json({{{pairs}}}) as varchar)"


def reasons_sql(fields: Sequence[MappedField]) -> str:
    """An expression over typed rows: the broken field rules as text without values; null when there are none."""
    reasons = [reason for n, field in enumerate(fields) for reason in _reasons(field, f"v{n}", f"bad{n}")]
    return f"nullif(concat_ws('; ', {', '.join(reasons)}), '')" if reasons else "cast(null as varchar)"


def digest_sql(fields: Sequence[MappedField]) -> str:
    """An expression over typed rows: 64 bits of the MD5 of key and values. Another one where the payload is another one.

    The payload itself is made of changed rows only: its JSON takes twice as long. DuckDB's `hash` would be quicker still,
    but another release may give other numbers.
    """
    parts = [text_sql("".join(f"{field.name} {field.rule.type};" for field in fields)), "strlen(key)", "':'", "key"]
    for n, field in enumerate(fields):
        # Texts are told apart by their length, so that nothing moves from one field to the next; that of null is none.
        match field.rule.type:
            case "text":
                parts += [f"strlen(v{n})", "':'", f"v{n}"]
            case "list":
                parts.append(f"cast(to_json(v{n}) as varchar)")
            case _:
                parts.append(f"cast(v{n} as varchar)")
        parts.append("chr(31)")
    return number_sql(f"concat({', '.join(parts)})")


def number_sql(text: str) -> str:
    """An expression: 64 bits of the MD5 of a text."""
    return f"cast(md5_number({text}) & 18446744073709551615 as ubigint)"


def changed_fields_sql(fields: Sequence[MappedField], before: str, after: str) -> str:
    """An expression: names of the fields whose change shall be sent. Nulls that are omitted are no change."""
    return f"list_filter([{', '.join(_changed(field, before, after) for field in fields)}]::varchar[], lambda n: n is not null)"


def wire_sql(fields: Sequence[MappedField], payload: str, before: str) -> str:
    """An expression: the payload as it is sent, without what shall be left alone; null where that is the payload itself."""
    if not any(field.map.nulls == "omit" or field.map.write == "if_empty" for field in fields):
        return "cast(null as varchar)"
    pairs = []
    for field in fields:
        value = _extract(payload, field)
        pair = f"{text_sql(f'{_json_name(field.name)}:')} || cast({value} as varchar)"
        conditions = []
        if field.map.nulls == "omit":
            conditions.append(f"{value} <> 'null'")
        if field.map.write == "if_empty":
            conditions.append(f"coalesce({_extract(before, field)}, 'null') = 'null'")
        pairs.append(f"case when {' and '.join(conditions)} then {pair} end" if conditions else pair)
    return f"'{{' || concat_ws(',', {', '.join(pairs)}) || '}}'"


def name_sql(name: str) -> str:
    """An identifier."""
    return exp.to_identifier(name, quoted=True).sql("duckdb")


def text_sql(value: str) -> str:
    """A text literal."""
    return exp.Literal.string(value).sql("duckdb")


def _changed(field: MappedField, before: str, after: str) -> str:
    old, new = _extract(before, field), _extract(after, field)
    condition = f"{old} is distinct from {new}"
    if field.map.nulls == "omit":
        condition += f" and coalesce({new}, 'null') <> 'null'"
    if field.map.write == "if_empty":
        condition += f" and coalesce({old}, 'null') = 'null'"
    return f"case when {condition} then {text_sql(field.name)} end"


def _extract(payload: str, field: MappedField) -> str:
    path = f'$."{field.name}"'
    return f"json_extract({payload}, {text_sql(path)})"


def _json_name(name: str) -> str:
    # Names of fields need no escaping in JSON (destination_spec.FieldName).
    return f'"{name}"'


def _key(columns: list[str]) -> str:
    parts = [f"nullif(cast({name_sql(column)} as varchar), '')" for column in columns]
    if len(parts) == 1:
        return parts[0]
    whole = " and ".join(f"{part} is not null" for part in parts)
    return f"case when {whole} then cast(to_json([{', '.join(parts)}]) as varchar) end"


def _origin(field: MappedField) -> str:
    if field.map.column is not None:
        return name_sql(field.map.column)
    if field.map.template is not None:
        return f"({template_sql(field.map.template)})"
    return text_sql(str(field.map.value))


def _value(field: MappedField) -> str:
    kind = field.rule.type
    value = f"try_cast({_origin(field)} as {SQL_TYPES[kind]})"
    if kind == "text":
        # Sources say "nothing" as null and as empty text; destinations must not tell the two apart.
        value = normalised(value, field.rule.normalise, field.rule.hash)
    if field.map.default is not None:
        given = text_sql(str(field.map.default))
        fallback = f"try_cast({given} as {SQL_TYPES[kind]})"
        if kind == "text":
            fallback = normalised(fallback, field.rule.normalise, field.rule.hash)
        value = f"coalesce({value}, {fallback})"
    return value


def _unreadable(field: MappedField) -> str:
    if field.rule.type == field.column_type:
        return "false"
    column, sql_type = _origin(field), SQL_TYPES[field.rule.type]
    return f"({column} is not null and try_cast({column} as {sql_type}) is null)"


def _written(field: MappedField, value: str) -> str:
    match field.rule.type:
        case "date":
            return f"strftime({value}, '%Y-%m-%d')"
        case "datetime":
            return f"strftime({value}, '%Y-%m-%dT%H:%M:%S.%gZ')"
        case "number":
            # NaN and infinity are no JSON; such rows are invalid and their payload is never sent.
            return f"case when isfinite({value}) then {value} end"
        case _:
            return value


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
        found.append((f"not regexp_full_match({value}, {text_sql(rule.pattern)})", f"{name}: does not have the form"))
    if rule.values is not None:
        accepted = f"[{', '.join(text_sql(v) for v in rule.values)}]"
        several = value if rule.type == "list" else f"[{value}]"
        found.append(
            (f"{value} is not null and not list_has_all({accepted}, {several})", f"{name}: is not an accepted value")
        )
    return [f"case when {condition} then {text_sql(reason)} end" for condition, reason in found]
