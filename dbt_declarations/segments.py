"""Checks segments and writes their models: all of them in one wide pass over persons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dbt_declarations.contracts import Column
from dbt_declarations.graph import cycles, layers
from dbt_declarations.kinds import Segment
from dbt_declarations.project import Project, duplicates
from dbt_declarations.scope import Scope
from dbt_declarations.sql import constants, finish, name, ref, render, text, while_active
from dbt_declarations.value_types import Typed
from dbt_declarations.wide import base

WIDE = "int_segments__person_evaluated"


@dataclass(frozen=True)
class CheckedSegment:
    """A segment that can be compiled."""

    segment: Segment
    where: Typed
    exclude: Typed | None

    @property
    def reads(self) -> frozenset[tuple[str, str]]:
        """The columns that membership is computed from."""
        return self.where.reads | (self.exclude.reads if self.exclude else frozenset())


def check_segments(
    project: Project, tag_columns: dict[str, Column], score_columns: dict[str, Column]
) -> list[CheckedSegment]:
    """All declared segments by name; what is wrong is noted in the project's problems."""
    duplicates(project.segments, project.segment_models, "segment", project.problems)
    declared_names = {d.value.name for d in project.segments} | project.broken("segments").keys()
    names = frozenset(declared_names | set(project.segment_models))
    scope = Scope(
        {
            **project.profile_scope(),
            "tag": tag_columns,
            "score": score_columns,
            "segment": {n: Column(n, "boolean") for n in sorted(names)},
        },
        segments=names,
    )
    found: dict[str, CheckedSegment] = {}
    documents = {d.value.name: d for d in project.segments}
    for document in project.segments:
        segment = document.value
        where = project.check(document, ("where",), segment.where, scope, "boolean")
        exclude = project.check(document, ("exclude",), segment.exclude, scope, "boolean") if segment.exclude else None
        if where is not None and (exclude is not None or segment.exclude is None):
            found[segment.name] = CheckedSegment(segment, where, exclude)
    uses = {n: {c for ns, c in s.reads if ns == "segment"} for n, s in found.items()}
    for path in cycles(uses):
        project.problems.errors.append(
            documents[path[0]].error(
                ("where",), f"segment is defined by itself: {' -> '.join(path)}", fix="break the circle"
            )
        )
    return [found[n] for n in sorted(found)]


def segment_models(segments: Sequence[CheckedSegment], handwritten: Sequence[str]) -> dict[str, str]:
    """SQL by model name."""
    catalogue = [
        [
            s.segment.name,
            "declared",
            s.segment.owner,
            s.segment.description,
            s.segment.refresh,
            s.segment.since,
            s.segment.expires,
        ]
        for s in segments
    ]
    catalogue += [[n, "model", None, None, None, None, None] for n in sorted(handwritten)]
    return {
        WIDE: finish(_wide(segments), schema="segments", what="One row: a person, one column per declared segment."),
        "int_segments__members": finish(
            _members(segments, handwritten), schema="segments", what="One row: a segment and a person in it at as_of."
        ),
        "segment": finish(
            constants(
                (
                    ("segment", "varchar"),
                    ("source", "varchar"),
                    ("owner", "varchar"),
                    ("description", "varchar"),
                    ("refresh", "varchar"),
                    ("since_on", "date"),
                    ("expires_on", "date"),
                ),
                sorted(catalogue, key=lambda row: str(row[0])),
            ),
            schema="segments",
            what="One row: a segment.",
        ),
    }


def _wide(segments: Sequence[CheckedSegment]) -> str:
    by_name = {s.segment.name: s for s in segments}
    reads = {r for s in segments for r in s.reads if r[0] != "segment" or r[1] not in by_name}
    ctes = [f"layer_0 as ({base(reads)})"]
    order = layers({n: {c for ns, c in s.reads if ns == "segment"} for n, s in by_name.items()})
    for position, layer in enumerate(order, start=1):
        computed = ", ".join(f"{_value(by_name[n])} as {name(f'segment__{n}')}" for n in layer)
        ctes.append(f"layer_{position} as (select *, {computed} from layer_{position - 1})")
    columns = "".join(f", {name(f'segment__{n}')} as {name(n)}" for n in sorted(by_name))
    ctes.append(f"final as (select person_id{columns} from layer_{len(order)})")
    return "with " + ",\n".join(ctes) + "\nselect * from final"


def _value(segment: CheckedSegment) -> str:
    """Who is in: `where` is known to be true, `exclude` is not known to be true."""
    value = f"coalesce({render(segment.where)}, false)"
    if segment.exclude is not None:
        value += f" and not coalesce({render(segment.exclude)}, false)"
    return f"coalesce({while_active(segment.segment, value)}, false)"


def _members(segments: Sequence[CheckedSegment], handwritten: Sequence[str]) -> str:
    selects = [
        f"select {text(s.segment.name)} as segment, person_id from {ref(WIDE)} where {name(s.segment.name)}"
        for s in segments
    ]
    selects += [
        f"select distinct {text(n)} as segment, members.person_id from {ref(f'segment_{n}')} as members"
        f" inner join {ref('audience')} as audience on audience.person_id = members.person_id"
        for n in sorted(handwritten)
    ]
    return "\nunion all\n".join(selects) or constants((("segment", "varchar"), ("person_id", "varchar")), [])
