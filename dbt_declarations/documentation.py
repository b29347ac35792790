"""The YAML beside generated models: what they hold, tests of their keys, contracts of what others read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dbt_declarations.properties import properties_file
from dbt_declarations.scores import CheckedScore
from dbt_declarations.segments import CheckedSegment
from dbt_declarations.tag_columns import data_type
from dbt_declarations.tags import CheckedTag
from dbt_declarations.tags_sql import CATALOGUE

Documents = dict[Path, str]
_PERSON = ("person_id", "varchar", "Person.")
_NUMBER = ("person_number", "ubigint", "Number of the person.")


def document_models(
    tags: Sequence[CheckedTag], scores: Sequence[CheckedScore], segments: Sequence[CheckedSegment]
) -> Documents:
    """One YAML file for the generated models of each folder."""
    return {
        Path("profiles/_profiles__generated.yml"): properties_file(_profiles()),
        Path("tags/_tags__generated.yml"): properties_file(_tags(tags)),
        Path("scores/_scores__generated.yml"): properties_file(_scores(scores)),
        Path("segments/_segments__generated.yml"): properties_file(_segments(segments)),
    }


def _profiles() -> list[dict[str, Any]]:
    return [
        _model(
            "audience",
            "Persons who get tags, scores and segments: all but those that defaults.yml excludes.",
            key=_PERSON,
        ),
        _model(
            "int_profiles__stage_facts",
            "Facts that would move a person into a stage. One row is one such fact.",
            [_PERSON],
        ),
        _model("lifecycle_stage", "Stages of the life cycle in declared order. One row is one stage of a model."),
        _model("lifecycle_transition", "Legal moves between stages. One row is one move of a model."),
        _model("rfm_bin", "Bins of the RFM grid: at_least is in, below is out. One row is one bin of a dimension."),
        _model("rfm_class", "Classes of the RFM grid. One row is one of the 125 fields."),
        _model(
            "rfm_window", "How many days back orders count; null: all. One row, or none without an RFM declaration."
        ),
    ]


def _tags(tags: Sequence[CheckedTag]) -> list[dict[str, Any]]:
    tables = sorted({t.measure[0] for t in tags if t.measure})
    columns = [(t.name, data_type(t), _said(t)) for t in tags]
    personal = {t.name: t.pii for t in tags if t.pii != "none"}
    said = "Every tag as a column with its own type. One row is one person of the audience."
    wide = _model("person_tags", said, columns, key=_PERSON, contract=True, pii=personal)
    groups = _group_tests(tags)
    models = [
        {**wide, "data_tests": groups} if groups else wide,
        _model(
            "tag",
            "The catalogue of tags. One row is one tag.",
            [(n, t, "As declared.") for n, t in CATALOGUE[1:]],
            key=("tag", "varchar", "Name of the tag."),
            contract=True,
        ),
        _model("tag_allowed_value", "Values that manual tags may have. One row is one value of a tag."),
        _model(
            "tag_wecom", "Tags of the WeCom library that stand for manual tags. One row is one of them, as group/tag."
        ),
        _model("int_tags__tags_numbered", "person_tags by the person's number, for segments. One row is one person."),
        _model("int_tags__person_gathered", "What tags are computed from. One row is one person.", [_PERSON]),
        _model(
            "int_tags__person_tagged",
            "The wide pass: each tag that is not an aggregate over facts. One row is one person.",
            key=_PERSON,
        ),
        _model("int_tags__tags_unpivoted", "Tags that say something. One row is one person and tag.", [_PERSON]),
        _model("int_tags__tags_packed", "Tags with a history, as bits. One row is one person and table of tags."),
        _model(
            "int_tags__layout", "Which bit stands for which tag. One row is one tag with a history, or a value of it."
        ),
    ]
    models += [
        _model(
            f"int_tags__{o}s_digested", f"What is known of {o} facts, as a digest. One row is one person.", key=_NUMBER
        )
        for o in tables
    ]
    return models + [
        _model(f"int_tags__{o}s_aggregated", f"The pass over {o} facts. One row is one person with facts.", key=_PERSON)
        for o in tables
    ]


def _group_tests(tags: Sequence[CheckedTag]) -> list[dict[str, Any]]:
    """For each exclusive group: at most one of its tags is true for a person."""
    groups: dict[str, list[str]] = {}
    for tag in tags:
        group = getattr(tag.declaration, "group", None)
        if group:
            groups.setdefault(group, []).append(f"cast(coalesce({tag.name}, false) as integer)")
    return [
        {
            "accepted_values": {
                "name": f"at_most_one_tag_of_group_{group}",
                "arguments": {"column_name": " + ".join(counted), "values": [0, 1], "quote": False},
            }
        }
        for group, counted in sorted(groups.items())
    ]


def _scores(scores: Sequence[CheckedScore]) -> list[dict[str, Any]]:
    tables = sorted({str(r.rule.over) for s in scores for r in s.rules if r.points})
    models = [
        _model("int_scores__person_scored", "The wide pass: what each rule found. One row is one person.", key=_PERSON),
        _model(
            "int_scores__rules_evaluated",
            "Points before caps. One row is one person, score and rule that applies.",
            [_PERSON],
        ),
        _model("int_scores__persons_eligible", "Who gets which score. One row is one person and score.", [_PERSON]),
        _model("score_rule", "Declared rules. One row is one rule of a score."),
        _model("score_dimension", "Declared caps of dimensions. One row is one dimension of a score."),
        _model("score_grade", "Declared grades. One row is one grade of a score and level (person, account)."),
        _model("score_account", "Scores that accounts have, too. One row is one score."),
    ]
    return models + [
        _model(
            f"int_scores__{o}s_aggregated", f"The pass over {o} facts. One row is one person with facts.", key=_PERSON
        )
        for o in tables
    ]


def _segments(segments: Sequence[CheckedSegment]) -> list[dict[str, Any]]:
    columns = [(n, "boolean", s.segment.description) for s in segments for n in (s.segment.name, *s.segment.parts)]
    return [
        _model(
            "int_segments__person_evaluated",
            "The wide pass: who is in which declared segment. One row is one person of the audience.",
            columns,
            key=_PERSON,
        ),
        _model("int_segments__members_packed", "Who is in which declared segment, as bits. One row is one person."),
        _model("int_segments__layout", "Which bit stands for which segment. One row is one declared segment."),
        _model(
            "int_segments__members", "Who is in which segment at as_of. One row is one segment and person.", [_PERSON]
        ),
        _model(
            "segment",
            "The catalogue of segments. One row is one segment.",
            key=("segment", "varchar", "Name of the segment."),
        ),
    ]


def _said(tag: CheckedTag) -> str:
    return tag.declaration.description if tag.declaration else f"Written by hand: tag_{tag.name}.sql."


def _model(
    name: str,
    description: str,
    columns: Sequence[tuple[str, str, str]] = (),
    *,
    key: tuple[str, str, str] | None = None,
    contract: bool = False,
    pii: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    listed: list[dict[str, Any]] = []
    if key:
        listed.append(
            {"name": key[0], "data_type": key[1], "description": key[2], "data_tests": ["not_null", "unique"]}
        )
    for column, kind, said in columns:
        entry: dict[str, Any] = {"name": column, "data_type": kind, "description": said}
        if pii and column in pii:
            entry["config"] = {"meta": {"pii": pii[column]}}
        if column == "person_id":
            entry["data_tests"] = ["not_null"]
        listed.append(entry)
    model: dict[str, Any] = {"name": name, "description": description}
    if contract:
        model["config"] = {"contract": {"enforced": True}}
    return {**model, "columns": listed} if listed else model
