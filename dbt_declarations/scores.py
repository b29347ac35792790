"""Checks scores and writes their models: points per rule in one pass over facts and one over persons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cdp.declarations import Document, suggest
from dbt_declarations.contracts import Column
from dbt_declarations.facts import pass_over
from dbt_declarations.kinds import PointsScore
from dbt_declarations.kinds.scores import Rule
from dbt_declarations.measures import DecayedPoints, Selection
from dbt_declarations.project import Project, declared
from dbt_declarations.scope import Scope
from dbt_declarations.sql import EXACT, POINTS, constants, finish, name, ref, render, text, while_active
from dbt_declarations.value_types import Typed
from dbt_declarations.wide import base

WIDE = "int_scores__person_scored"


@dataclass(frozen=True)
class CheckedRule:
    """A rule that can be compiled: `when` over the profile, or points over facts."""

    rule: Rule
    column: str
    when: Typed | None
    points: DecayedPoints | None


@dataclass(frozen=True)
class CheckedScore:
    """A score of points that can be compiled."""

    score: PointsScore
    eligible: Typed | None
    rules: tuple[CheckedRule, ...]


def check_scores(project: Project, tag_columns: dict[str, Column]) -> list[CheckedScore]:
    """All scores of points; what is wrong is noted in the project's problems."""
    profile = Scope({**project.profile_scope(), "tag": tag_columns})
    found = []
    for document in project.scores:
        score = declared(document)
        if not isinstance(score, PointsScore):
            continue
        if score.name.endswith("_grade"):
            project.problems.errors.append(
                document.error(
                    ("name",), f'"{score.name}" ends in _grade', fix="choose another: x_grade is the grade of x"
                )
            )
        eligible = (
            project.check(document, ("eligible",), score.eligible, profile, "boolean") if score.eligible else None
        )
        _check_stages(project, document, score)
        rules = []
        for position, rule in enumerate(score.rules):
            column = f"{score.name}__{rule.name}"
            when, points = None, None
            if rule.when is not None:
                when = project.check(document, ("rules", position, "when"), rule.when, profile, "boolean")
            else:
                scope = project.fact_scope(str(rule.over))
                keys = ("rules", position, "where")
                where = project.check(document, keys, rule.where, scope, "boolean") if rule.where else None
                selection = Selection(where, rule.window_days)
                points = DecayedPoints(column, rule.points, rule.half_life_days, selection)
            rules.append(CheckedRule(rule, column, when, points))
        found.append(CheckedScore(score, eligible, tuple(rules)))
    return found


def _check_stages(project: Project, document: Document[Any], score: PointsScore) -> None:
    machines = project.lifecycle.value.models if project.lifecycle else []
    stages = sorted(f"{machine.name}.{stage.name}" for machine in machines for stage in machine.stages)
    for position, grade in enumerate(score.grades):
        if grade.stage is not None and grade.stage not in stages:
            project.problems.errors.append(
                document.error(
                    ("grades", position, "stage"),
                    f'there is no stage "{grade.stage}"',
                    expected="one of " + ", ".join(stages) if stages else "a stage of lifecycle.yml",
                    fix=suggest(grade.stage, stages),
                )
            )


def score_columns(scores: Sequence[CheckedScore]) -> dict[str, Column]:
    """What segments may use: `<score>` (points) and `<score>_grade`."""
    columns: dict[str, Column] = {}
    for score in scores:
        columns[score.score.name] = Column(score.score.name, "number")
        columns[f"{score.score.name}_grade"] = Column(f"{score.score.name}_grade", "text")
    return columns


def fact_model(over: str) -> str:
    """Name of the model with the points over one table of facts."""
    return f"int_scores__{over}s_aggregated"


def score_models(scores: Sequence[CheckedScore]) -> dict[str, str]:
    """SQL by model name."""
    by_table: dict[str, list[DecayedPoints]] = {}
    for rule in (r for s in scores for r in s.rules if r.points):
        by_table.setdefault(str(rule.rule.over), []).append(rule.points)  # type: ignore[arg-type]
    models = {
        fact_model(over): finish(
            pass_over(over, (), points),
            schema="scores",
            what=f"One row: a person with facts ({over}) that give points.",
        )
        for over, points in sorted(by_table.items())
    }
    models[WIDE] = finish(
        _wide(scores), schema="scores", what="One row: a person and what every rule found.", loosely=True
    )
    models["int_scores__rules_evaluated"] = finish(
        _evaluated(scores),
        schema="scores",
        what="One row: an eligible person and a rule that applies, before caps.",
        materialized="view",
    )
    models["int_scores__persons_eligible"] = finish(
        _eligible(scores), schema="scores", what="One row: a person and a score they get.", materialized="view"
    )
    rules = [
        [s.score.name, r.rule.name, r.rule.dimension, r.rule.cap, float(r.rule.points), r.rule.half_life_days]
        for s in scores
        for r in s.rules
    ]
    models["score_rule"] = finish(
        constants(
            (
                ("score", "varchar"),
                ("rule", "varchar"),
                ("dimension", "varchar"),
                ("cap", POINTS),
                ("points_each", "double"),
                ("half_life_days", "double"),
            ),
            rules,
        ),
        schema="scores",
        what="One row: a rule of a score.",
    )
    models["score_dimension"] = finish(
        constants(
            (("score", "varchar"), ("dimension", "varchar"), ("cap", POINTS)),
            [[s.score.name, d, limit.cap] for s in scores for d, limit in sorted(s.score.dimensions.items())],
        ),
        schema="scores",
        what="One row: a dimension of a score that has a cap.",
    )
    models["score_grade"] = finish(
        constants(_GRADE, [row for s in scores for row in _grades(s.score)]),
        schema="scores",
        what="One row: a grade of a score; the first whose at_least is reached (null: always) is given.",
    )
    models["score_account"] = finish(
        constants(
            (("score", "varchar"), ("top", "bigint"), ("cap", POINTS)),
            [[s.score.name, s.score.accounts.top, s.score.accounts.cap] for s in scores if s.score.accounts],
        ),
        schema="scores",
        what="One row: a score that accounts have, too.",
    )
    return models


_GRADE = (
    ("score", "varchar"),
    ("level", "varchar"),
    ("grade", "varchar"),
    ("at_least", POINTS),
    ("position", "bigint"),
    ("stage_model", "varchar"),
    ("stage", "varchar"),
)


def _grades(score: PointsScore) -> list[list[object]]:
    levels = {"person": score.grades, "account": score.accounts.grades if score.accounts else []}
    return [
        [score.name, level, g.grade, g.at_least, n, *(g.stage.split(".") if g.stage else (None, None))]
        for level, grades in levels.items()
        for n, g in enumerate(grades, start=1)
    ]


def _wide(scores: Sequence[CheckedScore]) -> str:
    if not scores:
        return constants((("person_id", "varchar"),), [])
    reads = {r for s in scores for t in (s.eligible, *(x.when for x in s.rules)) if t for r in t.reads}
    tables = sorted({str(r.rule.over) for s in scores for r in s.rules if r.points})
    joins = [f"left join {ref(fact_model(o))} as facts_{o} on facts_{o}.person_id = person.person_id" for o in tables]
    carried = [
        f"facts_{r.rule.over}.{name(f'{r.column}__{part}')}"
        for s in scores
        for r in s.rules
        if r.points
        for part in ("points", "count", "last")
    ]
    columns = []
    for score in scores:
        eligible = f"coalesce({render(score.eligible)}, false)" if score.eligible else "true"
        held = while_active(score.score, eligible)
        columns.append(f"coalesce({held}, false) as {name(f'eligible__{score.score.name}')}")
        for rule in score.rules:
            if rule.when:
                columns.append(f"coalesce({render(rule.when)}, false) as {name(f'{rule.column}__holds')}")
            else:
                columns += [name(f"{rule.column}__{part}") for part in ("points", "count", "last")]
    listed = "".join(f",\n{c}" for c in columns)
    final = f"select person_id{listed} from base"
    return f"with base as ({base(reads, carried, joins)}), final as ({final}) select * from final"


def _evaluated(scores: Sequence[CheckedScore]) -> str:
    selects = []
    for score in scores:
        eligible = name(f"eligible__{score.score.name}")
        for rule in score.rules:
            points, count, last = (name(f"{rule.column}__{p}") for p in ("points", "count", "last"))
            holds = f"{count} > 0"
            if rule.when:
                points, count, last = repr(float(rule.rule.points)), "1", "cast(null as timestamp)"
                holds = name(f"{rule.column}__holds")
            selects.append(
                f"select person_id, {text(score.score.name)} as score, {text(rule.rule.name)} as rule,"
                f" {text(rule.rule.dimension)} as dimension, cast({points} as {EXACT}) as points,"
                f" cast({count} as bigint) as fact_count, {last} as last_fact_at"
                f" from {ref(WIDE)} where {eligible} and {holds}"
            )
    empty = constants(
        (
            ("person_id", "varchar"),
            ("score", "varchar"),
            ("rule", "varchar"),
            ("dimension", "varchar"),
            ("points", EXACT),
            ("fact_count", "bigint"),
            ("last_fact_at", "timestamp"),
        ),
        [],
    )
    return "\nunion all\n".join(selects) or empty


def _eligible(scores: Sequence[CheckedScore]) -> str:
    selects = [
        f"select person_id, {text(s.score.name)} as score from {ref(WIDE)} where {name(f'eligible__{s.score.name}')}"
        for s in scores
    ]
    return "\nunion all\n".join(selects) or constants((("person_id", "varchar"), ("score", "varchar")), [])
