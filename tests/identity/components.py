"""The macro of components on an in-memory database, and a union-find that shares nothing with it."""

from __future__ import annotations

from collections.abc import Iterable

from tests.identity.engine import Engine

Edge = tuple[int, int]


def labelled(edges: Iterable[Edge], *, threads: int = 2) -> dict[int, int]:
    """node -> component, as the project's own macro computes it."""
    rows = list(edges)
    engine = Engine(threads=threads)
    with engine.con as con:
        con.execute("create table edge (left_key bigint, right_key bigint)")
        if rows:
            con.execute(
                "insert into edge select unnest($l), unnest($r)", {"l": [u for u, _ in rows], "r": [v for _, v in rows]}
            )
        labels = con.execute(engine.render("{{ connected_components('select * from edge') }}")).fetchall()
    found = dict(labels)
    assert len(found) == len(labels), "a node has two components"
    return found


def united(edges: Iterable[Edge]) -> dict[int, int]:
    """Node -> least node of its component, by union-find with path halving."""
    parent: dict[int, int] = {}

    def root(node: int) -> int:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node

    for u, v in edges:
        a, b = root(u), root(v)
        parent[max(a, b)] = min(a, b)
    return {node: root(node) for node in list(parent)}


def partition(labels: dict[int, int]) -> set[frozenset[int]]:
    """The components without their names: labels are equal up to renaming."""
    members: dict[int, set[int]] = {}
    for node, label in labels.items():
        members.setdefault(label, set()).add(node)
    return {frozenset(nodes) for nodes in members.values()}
