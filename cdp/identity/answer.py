"""What `cdp identity resolve` writes: a dbt model for each file, because the engine's tables may be in its process's memory only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# File -> query. Each ends in a total order, so that the same answer is the same bytes.
FILES = {
    "person_identifier": """
        select identifiers.identifier_type, identifiers.identifier_value, persons.person_id
        from {{ ref('identity_person') }} as persons
        inner join {{ ref('identifier') }} as identifiers on persons.identifier_key = identifiers.identifier_key
        order by identifiers.identifier_type, identifiers.identifier_value""",
    "record_person": "select record_id, person_id from {{ ref('record_person') }} order by record_id",
    # pairs by record first: by key, a value that everybody has would meet all of its records once per refusal
    "refusals": """
        with refusals as (select * from {{ ref('identity_refusal') }}),
        seen as materialized (
            select record_key, record_id, identifier_key, sequence from {{ ref('identifier_observation') }}
            where identifier_key in (select r.left_key from refusals as r union select r.right_key from refusals as r)
        ),
        beside as materialized (
            select o.identifier_key as left_key, p.identifier_key as right_key, o.record_id, greatest(o.sequence, p.sequence) as sequence
            from seen as o inner join seen as p on o.record_key = p.record_key and o.identifier_key < p.identifier_key
        ),
        evidence as (select left_key, right_key, sequence, min(record_id) as record_id from beside group by all)
        select r.left_type, r.left_value, r.right_type, r.right_value, r.tier, r.sequence, r.rule, e.record_id
        from refusals as r
        left join evidence as e
            on r.left_key = e.left_key and r.right_key = e.right_key and r.sequence = e.sequence and r.tier between 1 and 98
        order by r.left_type, r.left_value, r.right_type, r.right_value""",
    "rejected": """
        select record_id, identifier_type, unusable_value as identifier_value, reason, count(*) as row_count
        from {{ ref('identifier_observation') }} where reason is not null
        group by all order by all""",
}
SUMMARY = """
        select
            (select count(*) from {{ ref('identity_person') }}) as identifiers,
            (select count(*) from {{ ref('identity_person') }} where founder_key = identifier_key) as persons,
            (select count(*) from {{ ref('record_person') }}) as records,
            (select count(*) from {{ ref('identity_refusal') }}) as refusals,
            (
                select coalesce(map_from_entries(list((reason, row_count) order by reason)), map {})
                from (
                    select reason, count(*) as row_count from {{ ref('identifier_observation') }}
                    where reason is not null group by reason
                )
            ) as rejected"""
_MODEL = """-- The rows of {file}.
{{{{ config(materialized='view', post_hook="copy (from {{{{ this }}}}) to '{file}' ({options})") }}}}

-- depends_on: {{{{ ref('identity_processed') }}}}
{query}
"""


def answer_models() -> dict[str, str]:
    """Models by path. dbt's process writes their rows into its folder; an ordered query gives the same file with any number of threads."""
    parquet = "format parquet, compression zstd, row_group_size 122880"
    models = {f"{name}.parquet": (query, parquet) for name, query in FILES.items()} | {
        "summary.json": (SUMMARY, "format json")
    }
    return {
        f"answer/answer_{file.split('.')[0]}": _MODEL.format(file=file, query=query, options=options)
        for file, (query, options) in models.items()
    }


def answer_summary(folder: Path) -> dict[str, Any]:
    """Counts of identifiers, persons, records and refusals, and of rejected rows by reason."""
    return dict(json.loads((folder / "summary.json").read_text(encoding="utf-8")))
