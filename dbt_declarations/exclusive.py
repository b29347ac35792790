"""Groups of declarations of which only the first that fits is true for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cdp.declarations import Document
from dbt_declarations.project import Project, declared


def yields_to(project: Project, documents: Mapping[str, Document[Any]], usable: set[str]) -> dict[str, tuple[str, ...]]:
    """Name -> names that come before it in its group; a priority that is taken is noted in the project's problems."""
    groups: dict[str, list[tuple[int, str]]] = {}
    for name, document in documents.items():
        entry = declared(document)
        if getattr(entry, "group", None) and entry.priority:
            groups.setdefault(entry.group, []).append((entry.priority, name))
    found: dict[str, tuple[str, ...]] = {}
    for group, members in groups.items():
        taken: dict[int, str] = {}
        for priority, name in sorted(members):
            if priority in taken:
                project.problems.errors.append(
                    documents[name].error(
                        ("priority",),
                        f'priority {priority} of group "{group}" is taken by {taken[priority]}',
                        expected="each priority once in a group",
                        fix="choose another priority",
                    )
                )
            elif name in usable:
                found[name] = tuple(n for n in taken.values() if n in usable)
            taken.setdefault(priority, name)
    return found
