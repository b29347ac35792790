"""Models that are kept from run to run: a run computes the rows of persons of whom anything has changed, and keeps the others."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence

from sqlglot import exp

from dbt_declarations.scope import AS_OF
from dbt_declarations.sql import LOOSE, THIS, TIGHT, finish, render, text
from dbt_declarations.value_types import Typed


def only_when_kept(body: str, after: str, added: str) -> str:
    """A formatted model with SQL added behind a line of it, for runs that have a table of the last run."""
    before, line, rest = body.partition(after)
    added = added.replace(THIS, "{{ this }}").replace(AS_OF, "{{ as_of() }}")
    return f"{before}{line}\n  {{% if is_incremental() %}}{added}{{% endif %}}{rest}"


def kept_config(schema: str, persons: str, told_by: Mapping[str, str], before: str = LOOSE) -> str:
    """The config of a table of persons that is kept from run to run: the rows that a run selects take the place of those of the
    same persons, and who is not in the model `persons` any more is removed. `told_by`: the columns by which rows are told, and types.
    `before`: what the table packs."""
    # a table of a warehouse from before has not all of these columns: then every row is another one
    gone = "".join(
        f" alter table {{{{ this }}}} add column if not exists {column} {kind};"
        for column, kind in {"person_number": "ubigint", "written_at": "timestamp", **told_by}.items()
    )
    gone += f" delete from {{{{ this }}}} where coalesce(person_number not in (select person_number from {{{{ ref('{persons}') }}}}), true)"
    hooks = f'pre_hook=["{before}", "{{% if is_incremental() %}}{gone}{{% endif %}}"], post_hook="{TIGHT}"'
    return (
        f"-- depends_on: {{{{ ref('{persons}') }}}}\n"
        f"{{{{ config(materialized='incremental', schema='{schema}', incremental_strategy='delete+insert', unique_key='person_number',"
        f" on_schema_change='sync_all_columns', {hooks}) }}}}\n\n"
    )


def finish_kept(
    everybody: str,
    steps: Sequence[str],
    columns: Sequence[str],
    last: str,
    *,
    schema: str,
    what: str,
    history: Sequence[str],
    inputs: Sequence[str] | None,
    also: Sequence[str] = (),
    twice: Collection[str] = (),
    declared: str = "",
) -> str:
    """A dbt model with a row for each row of `everybody`, a select of all that expressions read. Its steps begin with `layer_0`, and
    its columns are those of `last`.

    `inputs`: SQL of what the columns of a person are made from. Of whom all are those of the last run is not computed again. None: a
    person's columns are made from other persons, too, so everybody is computed. Either way a row has the digest of its columns, and
    the `as_of` of the run that wrote it with another one: what its history compares (`history`: the start of the names of its
    models, and its two times). `also`: what else the digest is made from, without
    being a column; `twice`: columns that it is not made from, as others say the same; `declared`: what a change of writes everybody
    again."""
    listed = ", ".join(columns)
    version = text(hashlib.sha256(f"{listed}{declared}".encode()).hexdigest()[:16])
    whole = text(hashlib.sha256(f"{everybody}{steps}{listed}{also}".encode()).hexdigest()[:16])
    layer_0 = "layer_0 as (select * from everybody)"
    if inputs is not None:
        hashed = f"hashed as (select *, hash({', '.join([*inputs, whole])}) as inputs_digest from everybody)"
        layer_0 = f"{hashed}, layer_0 as (select hashed.* from hashed)"
    told = [c for c in columns if c not in twice]
    digest = f"hash({', '.join([*told, *also, version])}) as digest"
    own = f"{listed}, {digest}" + (", inputs_digest" if inputs is not None else "")
    ctes = [f"everybody as ({everybody})", layer_0, *steps, f"digested as (select {own} from {last})"]
    ctes.append(f"final as (select digested.*, {_WRITTEN_AT} as written_at from digested)")
    select = finish(f"with {', '.join(ctes)} select * from final", schema=schema, what=what)
    head, body = select.split("\n\n", 1)
    same = f"join {THIS} as kept on kept.person_number = digested.person_number and kept.digest = digested.digest"
    told_by, now = {"digest": "ubigint"}, f"written_at({', '.join(map(repr, history))})"
    written_at = f"{{{{ {now} }}}}"
    if inputs is None:
        body = only_when_kept(body, "FROM digested", f"anti {same}")
    else:
        told_by["inputs_digest"] = "ubigint"
        kept = f"{{% if is_incremental() %}}coalesce(kept.written_at, {{{{ {now} }}}})"
        written_at = f"{kept}{{% else %}}{{{{ {now} }}}}{{% endif %}}"
        known = f"anti join {THIS} as kept on kept.person_number = hashed.person_number and kept.inputs_digest = hashed.inputs_digest"
        body = only_when_kept(only_when_kept(body, "FROM digested", f"left {same}"), "FROM hashed", known)
    body = body.replace(_WRITTEN_AT, written_at)
    return f"{head.split(chr(10), 1)[0]}\n{kept_config(schema, 'audience', told_by)}{body}"


_WRITTEN_AT = "__written_at__"


def aging(typed: Typed) -> dict[str, set[str]]:
    """What an expression makes from as_of: the SQL, and the columns that it reads. Days alone change it."""
    found = {}
    for column in typed.sql.find_all(exp.Column):
        if column.name == AS_OF and column.parent is not None:
            made = column.parent
            found[render(Typed(made, "any"))] = {c.name for c in made.find_all(exp.Column)} - {AS_OF}
    return found
