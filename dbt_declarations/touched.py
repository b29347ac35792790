"""Aggregates of facts that are kept from run to run: only persons whose facts are not those of the last run are computed anew.

A first pass over two narrow columns sums the digests of each person's facts, whatever their time. A late, changed, erased or newly
counted fact, a merge, a split: each changes the digest of whom it concerns, and of nobody else. The declarations are part of it, so
an edit computes everybody anew. What time does to a person is kept with the aggregates: `holds_until`, when the first of their facts
leaves a window that it counts for or becomes known. So a row is still right when the digest is the same and `as_of` lies between the
run that wrote it and that moment. What depends on as_of alone (days_since) is kept as a moment and counted when it is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from sqlglot import exp

from dbt_declarations.facts import asked_kinds, number_of, pass_over, since_sessions
from dbt_declarations.kept import kept_config, only_when_kept
from dbt_declarations.measures import Measure, columns_read, session_windows
from dbt_declarations.packed import with_words
from dbt_declarations.project import FACTS, ROW_DIGEST
from dbt_declarations.scope import AS_OF
from dbt_declarations.sql import LOOSE_STRINGS, THIS, finish, name, ref, text

TOUCHED = "touched"


def digested_model(over: str) -> str:
    """Name of the model with the digests of one table of facts."""
    return f"int_tags__{over}s_digested"


def fact_model(over: str) -> str:
    """Name of the model with the aggregates over one table of facts."""
    return f"int_tags__{over}s_aggregated"


def kept_models(over: str, measures: Sequence[Measure], words: Mapping[str, str], alias: str) -> dict[str, str]:
    """SQL by name of the model of digests and of the model of aggregates over one table of facts. `words`: further columns, made
    from those under `alias`."""
    touched = (
        f"{TOUCHED} as materialized (select audience.person_id, digests.person_number, digests.digest, {AS_OF} as written_at"
        f" from {ref('audience')} as audience inner join {ref(digested_model(over))} as digests"
        " on digests.person_number = audience.person_number)"
    )
    whole = pass_over(over, measures, audience=TOUCHED)
    declared = hashlib.sha256(f"{whole}{words}".encode()).hexdigest()[:16]
    digested = finish(
        _digests(over, measures, declared),
        schema="tags",
        what=f"One row: a person with facts ({over}), and a digest of what their tags are made from.",
    )
    what = f"One row: a person with facts ({over}) that count for tags. Whose row is still right is not computed again."
    final = f"final as ({with_words(words, 'aggregated', alias)})"
    full = finish(f"with {touched}, aggregated as ({whole}), {final} select * from final", schema="tags", what=what)
    head, body = full.split("\n\n", 1)
    known = (
        f"anti join {THIS} as kept on kept.person_number = digests.person_number and kept.digest = digests.digest"
        f" and kept.written_at <= {AS_OF} and kept.holds_until > {AS_OF}"
    )
    body = only_when_kept(body, "ON digests.person_number = audience.person_number", known)
    facts = FACTS[over]
    body = only_when_kept(
        body,
        f"FROM {{{{ ref('{facts.model}') }}}} AS facts",
        f"semi join {TOUCHED} on {TOUCHED}.person_number = {number_of(facts)}",
    )
    config = kept_config("tags", digested_model(over), {"digest": "ubigint", "holds_until": "timestamp"}, LOOSE_STRINGS)
    return {digested_model(over): digested, fact_model(over): f"{head.split(chr(10), 1)[0]}\n{config}{body}"}


def _digests(over: str, measures: Sequence[Measure], declared: str) -> str:
    facts = FACTS[over]
    own = f"facts.{ROW_DIGEST}"
    if not facts.digested:
        columns = sorted({*columns_read(over, measures), *([facts.kind] if facts.kind else [])})
        own = f"hash({', '.join(f'facts.{name(c)}' for c in columns)})"
    parts = ["digests.facts_digest", *_moving(over, measures), text(declared)]
    sessions = session_windows([m.selection for m in measures])
    parts += [f"sessions.{name(f'since_session_{n}')}" for n in sessions]
    where = asked_kinds(facts, measures) or "true"
    return (
        f"with digests as (select {number_of(facts)} as person_number, sum({own}) as facts_digest"
        f" from {ref(facts.model)} as facts where {where} group by 1),"
        f" final as (select audience.person_number, hash({', '.join(parts)}) as digest from {ref('audience')} as audience"
        f" inner join digests on digests.person_number = audience.person_number{since_sessions(sessions, 'audience')})"
        " select * from final"
    )


def _moving(over: str, measures: Sequence[Measure]) -> list[str]:
    """as_of itself, where a condition or a value of a fact is made from it: it is then another one in each run."""
    typed = [t for m in measures for t in (m.of, m.selection.where) if t]
    return [AS_OF] if any(c.name == AS_OF for t in typed for c in t.sql.find_all(exp.Column)) else []
