"""Aggregates of facts that are kept from run to run: only persons whose facts are not those of the last run are computed anew.

A first pass makes a digest of what the aggregates of a person are made from: the columns they read of every fact by as_of, and for each
fact the windows that it lies in. A late, changed, erased or newly counted fact, a merge, a split, a fact that leaves a window or
an `as_of` that goes back: each changes the digest of whom it concerns, and of nobody else. The declarations are part of it, so an
edit computes everybody anew. What depends on as_of alone (days_since) is kept as a moment and counted when it is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from dbt_declarations.facts import pass_over, since_sessions
from dbt_declarations.measures import Measure, columns_read, kinds_asked_for, session_windows
from dbt_declarations.project import FACTS
from dbt_declarations.scope import AS_OF
from dbt_declarations.sql import finish, kept_config, name, ref, text

THIS = "ref__this__"


def digested_model(over: str) -> str:
    """Name of the model with the digests of one table of facts."""
    return f"int_tags__{over}s_digested"


def fact_model(over: str) -> str:
    """Name of the model with the aggregates over one table of facts."""
    return f"int_tags__{over}s_aggregated"


def kept_models(over: str, measures: Sequence[Measure]) -> dict[str, str]:
    """SQL by name of the model of digests and of the model of aggregates over one table of facts."""
    whole = pass_over(over, measures, audience=ref(digested_model(over)))
    digested = finish(
        _digests(over, measures, hashlib.sha256(whole.encode()).hexdigest()[:16]),
        schema="tags",
        what=f"One row: a person with facts ({over}), and a digest of what their tags are made from.",
    )
    what = f"One row: a person with facts ({over}) that count for tags. Who has the digest of the last run is not computed again."
    full = finish(whole, schema="tags", what=what)
    head, body = full.split("\n\n", 1)
    again = finish(_again(over, measures), schema="tags", what=what).split("\n\n", 1)[1]
    config = kept_config("tags", digested_model(over))
    comment = head.split("\n", 1)[0]
    model = f"{comment}\n{config}{{% if is_incremental() %}}\n{again}{{% else %}}\n{body}{{% endif %}}\n"
    return {digested_model(over): digested, fact_model(over): model}


def _again(over: str, measures: Sequence[Measure]) -> str:
    """The same for those whose digest is not the kept one, over their facts alone."""
    touched = (
        f"touched as materialized (select digests.* from {ref(digested_model(over))} as digests anti join {THIS} as kept"
        " on kept.person_id = digests.person_id and kept.digest = digests.digest)"
    )
    return f"with {touched}, final as ({pass_over(over, measures, audience='touched')}) select * from final"


def _digests(over: str, measures: Sequence[Measure], declared: str) -> str:
    facts = FACTS[over]
    windows = sorted({m.selection.hours for m in measures if m.selection.hours})
    sessions = session_windows([m.selection for m in measures])
    parts = [f"facts.{name(c)}" for c in sorted({*columns_read(over, measures), *([facts.kind] if facts.kind else [])})]
    parts += [f"facts.{name(facts.at)} > {AS_OF} - interval {hours} hour" for hours in windows]
    parts += [f"facts.{name(facts.at)} >= sessions.{name(f'since_session_{n}')}" for n in sessions]
    asked = [kinds_asked_for(m.selection.where, facts) for m in measures]
    known = [f"facts.{name(facts.at)} <= {AS_OF}"]
    if facts.kind and all(asked):
        kinds = sorted({kind for kinds in asked for kind in kinds})
        known.append(f"facts.{name(facts.kind)} in ({', '.join(text(k) for k in kinds)})")
    return (
        f"with digests as (select facts.person_id, sum(hash({', '.join(parts)})) as facts_digest"
        f" from {ref(facts.model)} as facts{since_sessions(sessions)} where {' and '.join(known)} group by facts.person_id),"
        f" final as (select digests.person_id, md5_number_lower(digests.person_id) as person_number,"
        f" hash(digests.facts_digest, {text(declared)}) as digest from digests"
        f" semi join {ref('audience')} as audience on audience.person_id = digests.person_id) select * from final"
    )
