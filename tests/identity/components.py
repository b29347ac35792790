"""The contraction macro on an in-memory database, and a union-find that shares nothing with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import duckdb
import jinja2

Edge = tuple[int, int]
MACROS = Path(__file__).resolve().parents[2] / "dbt_project" / "macros"
FILES = ("engine/hash.sql", "identity/connected_components.sql")


class TooManyRoundsError(Exception):
    """What the macro raises through dbt when edges are left."""


class _Column:
    def __init__(self, values: list[Any]) -> None:
        self._values = values

    def values(self) -> list[Any]:
        return self._values


class _Result:
    """The part of dbt's query result that the macro reads."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self.columns = [_Column(list(column)) for column in zip(*rows, strict=True)]


class _Exceptions:
    @staticmethod
    def raise_compiler_error(message: str) -> None:
        raise TooManyRoundsError(message)


class _Adapter:
    """Chooses the engine's own macro, as dbt's does."""

    module: Any = None

    def dispatch(self, name: str) -> Callable[..., str]:
        return getattr(self.module, f"duckdb__{name}")


def run_in(con: duckdb.DuckDBPyConnection, texts: list[str], **names: Any) -> str:
    """Render texts of dbt, macros first, as dbt would with `run_query` on this connection; what they say.

    Names of further functions (`ref`) come as arguments.
    """
    adapter = _Adapter()
    known: dict[str, Any] = {
        "execute": True,
        "run_query": lambda sql: _Result(con.execute(sql).fetchall()),
        "exceptions": _Exceptions(),
        "adapter": adapter,
        "return": str.strip,
        "env_var": lambda name, default: default,
        **names,
    }
    environment = jinja2.Environment(extensions=["jinja2.ext.do"], undefined=jinja2.StrictUndefined)  # noqa: S701 - SQL
    adapter.module = environment.from_string("".join(texts[:-1]), globals=known).module
    return environment.from_string("".join(texts), globals=known).render().strip()


def contracted(edges: Iterable[Edge], *, threads: int = 2, max_rounds: int = 40) -> tuple[dict[int, int], int]:
    """(node -> component, number of rounds) as the project's own macro computes it, run as dbt would run it."""
    rows = list(edges)
    with duckdb.connect(config={"threads": threads}) as con:
        con.execute("create table edge (left_key bigint, right_key bigint)")
        if rows:
            con.execute(
                "insert into edge select unnest($l), unnest($r)", {"l": [u for u, _ in rows], "r": [v for _, v in rows]}
            )
        rounds: list[str] = []

        def run_query(sql: str) -> _Result:
            rounds.extend([sql] if "create or replace temp table t_label_" in sql else [])
            return _Result(con.execute(sql).fetchall())

        macros = [(MACROS / name).read_text(encoding="utf-8") for name in FILES]
        run_in(con, [*macros, f"{{% do connected_components('edge', 't', {max_rounds}) %}}"], run_query=run_query)
        labels = con.execute("select node_key, component_key from t_label").fetchall()
        left_over = con.execute(
            "select table_name from duckdb_tables() where table_name <> 'edge' and table_name <> 't_label'"
        ).fetchall()
    assert left_over == [], "the macro leaves tables behind"
    found = dict(labels)
    assert len(found) == len(labels), "a node has two components"
    return found, len(rounds)


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
