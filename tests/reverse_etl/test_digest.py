"""The digest by which a plan passes over rows: another one wherever the payload is another one, the same where it is the same."""

from __future__ import annotations

import duckdb

from reverse_etl.catalog import MappedField
from reverse_etl.declaration import FieldMap
from reverse_etl.destination_spec import FieldRule, FieldType
from reverse_etl.query import digest_sql, payload_sql

KINDS: dict[str, FieldType] = {"a": "text", "b": "text", "c": "integer", "d": "list", "e": "number", "f": "boolean"}


def field(name: str, kind: FieldType) -> MappedField:
    return MappedField(name, FieldMap(column=name), FieldRule(type=kind), kind, True)


def test_rows_have_one_digest_just_when_they_are_sent_as_the_same() -> None:
    """All combinations of texts made of what the digest itself puts between values, of nulls and of lists."""
    fields = [field(name, kind) for name, kind in KINDS.items()]
    texts = "[null, '', ':', '1', '1:', '0:', chr(31), chr(31) || '1:1', '1' || chr(31) || '1:', '{', 'null', '汉']"
    with duckdb.connect(config={"threads": 1}) as con:
        con.execute(
            f"""
            create table typed as
            select key, v0, v1, v2, v3, v4, v5
            from (select unnest(['k', 'k:', '1']) as key), (select unnest({texts}) as v0), (select unnest({texts}) as v1),
              (select unnest([null, 0, 11]::bigint[]) as v2),
              (select unnest([null, [], ['x', 'y'], ['x, y'], ['["x","y"]']]::varchar[][]) as v3),
              (select unnest([null, 0.1, 1e300]::double[]) as v4), (select unnest([null, true]::boolean[]) as v5)
            """
        )
        found = con.execute(
            f"""
            with told as (select key, {payload_sql(fields)} as payload, {digest_sql(fields)} as digest from typed)
            select count(*), count(distinct (key, payload)), count(distinct digest), count(distinct (key, payload, digest))
            from told
            """
        ).fetchall()
        assert found == [(38_880,) * 4]
        # A field that changes its name or its type is another payload, too.
        others = [field("z" if name == "a" else name, kind) for name, kind in KINDS.items()]
        shared = con.execute(
            f"select count(*) from typed where {digest_sql(fields)} in (select {digest_sql(others)} from typed)"
        ).fetchall()
        assert shared == [(0,)]
