"""Checks and writes what profiles take from declarations: the audience, the life cycle, the RFM grid."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from cdp.declarations import Document
from dbt_declarations.contracts import Column
from dbt_declarations.kinds import RfmScore
from dbt_declarations.kinds.lifecycle import Entry
from dbt_declarations.kinds.scores import Bins
from dbt_declarations.project import FACTS, PERSON_NUMBER, Project, declared
from dbt_declarations.scope import AS_OF, Scope
from dbt_declarations.sql import constants, finish, name, ref, render, text


def profile_models(project: Project) -> dict[str, str]:
    """SQL by model name; what is wrong is noted in the project's problems."""
    return {**_audience(project), **_lifecycle(project), **_rfm(project)}


def _audience(project: Project) -> dict[str, str]:
    condition = "false"
    if project.defaults is not None:
        scope = Scope({"person": project.columns("person")})
        exclude = project.check(project.defaults, ("exclude",), project.defaults.value.exclude, scope, "boolean")
        condition = f"coalesce({render(exclude)}, false)" if exclude else condition
        columns = sorted(c for _, c in exclude.reads) if exclude else []
    else:
        columns = []
    read = ", ".join(["person_id", PERSON_NUMBER, *(f"{name(c)} as {name(f'person__{c}')}" for c in columns)])
    listed = f"select person_id, {PERSON_NUMBER} from people where not {condition}"
    select = f"with people as (select {read} from {ref('person')}) {listed}"
    what = "One row: a person who gets tags, scores and segments."
    return {"audience": finish(select, schema="profiles", what=what, loosely=True)}


def _lifecycle(project: Project) -> dict[str, str]:
    document = project.lifecycle
    facts: list[str] = []
    stages: list[list[object]] = []
    transitions: list[list[object]] = []
    for m, machine in enumerate(document.value.models if document else []):
        for s, stage in enumerate(machine.stages):
            stages.append([machine.name, stage.name, s + 1, stage.description])
            transitions += [[machine.name, source, stage.name] for source in stage.sources]
            for e, entry in enumerate(stage.enter):
                keys = ("models", m, "stages", s, "enter", e, "where")
                facts.append(_entries(project, document, keys, machine.name, stage.name, s + 1, entry))
    what = "One row: a fact that would move a person into a stage."
    columns = (("model", "varchar"), ("person_id", "varchar"), ("stage", "varchar"), ("position", "bigint"))
    empty = constants((*columns, ("fact_at", "timestamp"), ("fact_key", "varchar")), [])
    select = "\nunion all\n".join(facts) or empty
    stage_columns = (("model", "varchar"), ("stage", "varchar"), ("position", "bigint"), ("description", "varchar"))
    move_columns = (("model", "varchar"), ("from_stage", "varchar"), ("to_stage", "varchar"))
    return {
        "int_profiles__stage_facts": finish(select, schema="profiles", what=what),
        "lifecycle_stage": finish(
            constants(stage_columns, stages), schema="profiles", what="One row: a stage of a model."
        ),
        "lifecycle_transition": finish(
            constants(move_columns, transitions), schema="profiles", what="One row: a legal move between two stages."
        ),
    }


def _entries(
    project: Project, document: Any, keys: tuple[str | int, ...], model: str, stage: str, position: int, entry: Entry
) -> str:
    if entry.over == "person":
        scope = Scope({"person": project.columns("person")}, facts=True)
        source, at, key = "person", "first_seen_at", name("person_id")
    else:
        facts = FACTS[entry.over]
        scope = project.fact_scope(entry.over)
        source, at = facts.model, facts.at
        key = " || '/' || ".join(f"cast({name(k)} as varchar)" for k in facts.key)
    where = project.check(document, keys, entry.where, scope, "boolean") if entry.where else None
    condition = f" and coalesce({render(where)}, false)" if where else ""
    numbered = (
        f"select person_id, {name(at)} as fact_at, {key} as fact_key from {ref(source)}"
        f" where person_id is not null and {name(at)} <= {AS_OF}{condition}"
    )
    picked = (
        "select person_id, fact_at, fact_key,"
        " row_number() over (partition by person_id order by fact_at, fact_key) as nth"
        f" from ({numbered}) as matched"
    )
    return (
        f"select {text(model)} as model, person_id, {text(stage)} as stage, cast({position} as bigint) as position,"
        f" fact_at, fact_key from ({picked}) as numbered where nth >= {entry.nth}"
    )


def _rfm(project: Project) -> dict[str, str]:
    documents = [d for d in project.scores if isinstance(declared(d), RfmScore)]
    for extra in documents[1:]:
        project.problems.errors.append(
            extra.error(
                ("type",), "is a second RFM grid", expected=f"one, in {documents[0].path.name}", fix="remove one"
            )
        )
    bins: list[list[object]] = []
    settings: list[list[object]] = []
    select = constants((("r", "bigint"), ("f", "bigint"), ("m", "bigint"), ("rfm_class", "varchar")), [])
    if documents:
        rfm: RfmScore = declared(documents[0])
        bins += _bins("recency", rfm.recency, falling=True)
        bins += _bins("frequency", rfm.frequency, falling=False) + _bins("monetary", rfm.monetary, falling=False)
        settings.append([rfm.window_days])
        select = _classes(project, documents[0], rfm)
    columns = (
        ("dimension", "varchar"),
        ("measure", "varchar"),
        ("points", "bigint"),
        ("at_least", "double"),
        ("below", "double"),
    )
    return {
        "rfm_bin": finish(constants(columns, bins), schema="profiles", what="One row: a bin of a dimension."),
        "rfm_class": finish(select, schema="profiles", what="One row: a field of the RFM grid and its class."),
        "rfm_window": finish(
            constants((("window_days", "bigint"),), settings),
            schema="profiles",
            what="One row: how far back orders count.",
        ),
    }


def _bins(dimension: str, bins: Bins, *, falling: bool) -> list[list[object]]:
    """Half-open bins [at_least, below); few days since the last order are good, so recency falls."""
    edges = bins.edges or [0.2, 0.4, 0.6, 0.8]
    measure = "value" if bins.edges else "fraction"
    # A fraction is the share of persons who are worse, for recency too.
    rising = measure == "fraction" or not falling
    bounds: list[float | None] = [None, *(float(e) for e in edges), None]
    return [
        [dimension, measure, n + 1 if rising else 5 - n, low, high] for n, (low, high) in enumerate(pairwise(bounds))
    ]


def _classes(project: Project, document: Document[Any], rfm: RfmScore) -> str:
    scope = Scope({"rfm": {n: Column(n, "integer") for n in ("r", "f", "m")}}, facts=True)
    branches = []
    for position, entry in enumerate(rfm.classes):
        when = project.check(document, ("classes", position, "when"), entry.when, scope, "boolean")
        if when is not None:
            branches.append(f"when {render(when)} then {text(entry.name)}")
    numbers = " union all ".join(f"select cast({n} as bigint) as n" for n in range(1, 6))
    value = f"case {' '.join(branches)} else {text(rfm.otherwise)} end" if branches else text(rfm.otherwise)
    return (
        f"with points as ({numbers}), grid as (select r.n as r, f.n as f, m.n as m"
        " from points as r cross join points as f cross join points as m)"
        f" select r, f, m, {value} as rfm_class from grid"
    )
