"""Checks segments: every expression is typed, every name exists, nothing is defined by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cdp.declarations import Document
from dbt_declarations.contracts import Column
from dbt_declarations.exclusive import yields_to
from dbt_declarations.graph import cycles
from dbt_declarations.kinds import Segment
from dbt_declarations.project import Project, duplicates
from dbt_declarations.scope import Scope
from dbt_declarations.value_types import Typed

CONDITIONS = (("where",), ("include",), ("exclude",), ("accounts", "any"), ("accounts", "all"), ("accounts", "none"))


@dataclass(frozen=True)
class CheckedSegment:
    """A segment that can be compiled. `conditions`: checked ones by key, e.g. `where` or `accounts.any`."""

    segment: Segment
    conditions: Mapping[str, Typed] = field(default_factory=dict)
    order_by: Typed | None = None
    yields_to: tuple[str, ...] = ()

    @property
    def reads(self) -> frozenset[tuple[str, str]]:
        """The columns that membership is computed from."""
        typed = [*self.conditions.values(), *([self.order_by] if self.order_by else [])]
        found = frozenset().union(*(t.reads for t in typed), {("segment", n) for n in self.yields_to})
        return found | ({("person", "account_key")} if self.segment.accounts else frozenset())


def segment_scope(
    project: Project, tag_columns: dict[str, Column], score_columns: dict[str, Column], names: frozenset[str]
) -> Scope:
    """What the expressions of segments may name."""
    return Scope(
        {
            **project.profile_scope(),
            "tag": tag_columns,
            "score": score_columns,
            "segment": {n: Column(n, "boolean") for n in sorted(names)},
        },
        segments=names,
        lists=project.lists,
    )


def check_segments(
    project: Project, tag_columns: dict[str, Column], score_columns: dict[str, Column]
) -> list[CheckedSegment]:
    """All declared segments by name; what is wrong is noted in the project's problems."""
    duplicates(project.segments, project.segment_models, "segment", project.problems)
    documents = {d.value.name: d for d in project.segments}
    parts = {part: d.value.name for d in project.segments for part in d.value.parts}
    names = frozenset({*documents, *parts, *project.broken("segments"), *project.segment_models})
    scope = segment_scope(project, tag_columns, score_columns, names)
    found: dict[str, CheckedSegment] = {}
    for document in project.segments:
        checked = _checked(project, document, scope)
        if checked is not None:
            found[checked.segment.name] = checked
    for name, others in yields_to(project, documents, set(found)).items():
        found[name] = replace(found[name], yields_to=others)
    for path in cycles(uses(found.values())):
        project.problems.errors.append(
            documents[path[0]].error(
                ("where",), f"segment is defined by itself: {' -> '.join(path)}", fix="break the circle"
            )
        )
    return [found[n] for n in sorted(found)]


def uses(segments: object) -> dict[str, set[str]]:
    """Which segments each one reads; a part stands for the segment it is a part of."""
    listed: list[CheckedSegment] = list(segments)  # type: ignore[call-overload]
    owner = {part: s.segment.name for s in listed for part in s.segment.parts}
    return {s.segment.name: {owner.get(c, c) for ns, c in s.reads if ns == "segment"} for s in listed}


def _checked(project: Project, document: Document[Segment], scope: Scope) -> CheckedSegment | None:
    segment = document.value
    conditions: dict[str, Typed] = {}
    complete = True
    for keys in CONDITIONS:
        written = getattr(segment, keys[0]) if len(keys) == 1 else getattr(segment.accounts, keys[1], None)
        if written is None:
            continue
        typed = project.check(document, keys, written, scope, "boolean")
        complete = complete and typed is not None
        if typed is not None:
            conditions[".".join(keys)] = typed
    order_by = None
    if segment.limit:
        order_by = project.check(document, ("limit", "order_by"), segment.limit.order_by, scope, *_ORDERED)
        complete = complete and order_by is not None
    return CheckedSegment(segment, conditions, order_by) if complete else None


_ORDERED = ("number", "integer", "date", "timestamp", "text")
