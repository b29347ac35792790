"""Plots of a run as Markdown with the picture inside, for the metadata of assets."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from cdp.settings import Settings
from cdp.warehouse import open_database


def plots_of(table: str, settings: Settings) -> dict[str, str]:
    """Name -> Markdown of the plots that belong to a table; empty for tables without one."""
    wanted = PLOTS.get(table, {"match weights": partial(_match_weights, table)} if table in _matches(settings) else {})
    if not wanted:
        return {}
    con = open_database(settings.warehouse_path, read_only=False, settings=settings)
    try:
        return {name: picture(partial(draw, con)) for name, draw in wanted.items()}
    except duckdb.CatalogException:
        return {}
    finally:
        con.close()


def _identifiers(con: duckdb.DuckDBPyConnection, axes: Any) -> None:
    rows = con.execute(
        "select least(identifier_count, 20), sum(person_count)::bigint from identity.identity_health "
        "where identifier_type = 'all' group by 1 order by 1"
    ).fetchall()
    axes.bar([str(n) if n < 20 else "20+" for n, _ in rows], [c for _, c in rows], color="#3b6ea5")
    axes.set_xlabel("identifiers per person")
    axes.set_ylabel("persons")
    axes.set_yscale("log")


def _events_of_identity(con: duckdb.DuckDBPyConnection, axes: Any) -> None:
    rows = con.execute(
        "select event, run_no::varchar, count(*) from identity.identity_event "
        "where run_no > (select max(run_no) - 20 from identity.identity_event) group by all order by min(run_no), event"
    ).fetchall()
    runs = list(dict.fromkeys(run for _, run, _ in rows))
    below = dict.fromkeys(runs, 0)
    for event in sorted({event for event, _, _ in rows}):
        counts = {run: count for e, run, count in rows if e == event}
        axes.bar(runs, [counts.get(r, 0) for r in runs], bottom=[below[r] for r in runs], label=event)
        below = {run: below[run] + counts.get(run, 0) for run in runs}
    axes.set_xlabel("run")
    axes.set_ylabel("events")
    if rows:
        axes.legend()


def _refusals(con: duckdb.DuckDBPyConnection, axes: Any) -> None:
    rows = con.execute("select rule, count(*) from identity.identity_refusal group by 1 order by 2, 1").fetchall()
    axes.barh([rule for rule, _ in rows], [count for _, count in rows], color="#b5533c")
    axes.set_xlabel("edges refused")


def _components(con: duckdb.DuckDBPyConnection, axes: Any) -> None:
    rows = con.execute(
        "select count(*) from identity.identity_component group by component_key order by 1 desc limit 30"
    ).fetchall()
    axes.bar(range(1, len(rows) + 1), [size for (size,) in rows], color="#3b6ea5")
    axes.set_xlabel("the largest components")
    axes.set_ylabel("identifiers")


def _matches(settings: Settings) -> set[str]:
    return {f"match_{path.stem}" for path in (settings.dbt_dir / "matching").glob("*.yml")}


def _match_weights(table: str, con: duckdb.DuckDBPyConnection, axes: Any) -> None:
    """Two hills with a valley between them are a good model; docs/identity-matching.md reads it."""
    rows = con.execute(
        f"select floor(match_weight)::bigint, is_accepted, count(*) from identity.{table} group by all order by all"
    ).fetchall()
    for accepted, label, colour in ((False, "not accepted", "#b5652b"), (True, "accepted", "#3b6ea5")):
        bars = [(weight + 0.5, pairs) for weight, is_accepted, pairs in rows if is_accepted == accepted]
        axes.bar([w for w, _ in bars], [n for _, n in bars], width=0.9, color=colour, label=label)
    axes.set_xlabel("match weight (bits)")
    axes.set_ylabel("pairs")
    axes.set_yscale("symlog")
    axes.legend()


def _segments(con: duckdb.DuckDBPyConnection, axes: Any) -> None:
    rows = con.execute(
        "select segment, count(*) from segments.segment_membership where exited_at is null group by 1 order by 2, 1"
    ).fetchall()
    axes.barh([s for s, _ in rows], [c for _, c in rows], color="#5a9e6f")
    axes.set_xlabel("persons")


def _overlap(con: duckdb.DuckDBPyConnection, axes: Any) -> None:
    rows = con.execute(
        "with members as (select segment, person_id from segments.segment_membership where exited_at is null)"
        " select a.segment, b.segment, count(*) from members as a inner join members as b using (person_id)"
        " group by all order by all"
    ).fetchall()
    names = sorted({a for a, _, _ in rows})
    shared = {(a, b): n for a, b, n in rows}
    draw_overlap(names, [[shared.get((a, b), 0) for b in names] for a in names], axes)


def draw_overlap(names: list[str], matrix: list[list[int]], axes: Any) -> None:
    """Pairs of segments: the share of the row's persons who are in the column's segment, too."""
    shares = [[n / max(row[i], 1) for n in row] for i, row in enumerate(matrix)]
    axes.imshow(shares or [[0.0]], cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=6)
    axes.set_yticks(range(len(names)), names, fontsize=6)
    if len(names) <= 16:
        for i, row in enumerate(matrix):
            for j, n in enumerate(row):
                axes.text(
                    j, i, n, ha="center", va="center", fontsize=5, color="white" if shares[i][j] > 0.6 else "black"
                )


def write_overlap(names: list[str], matrix: list[list[int]], path: Path) -> None:
    """The matrix as a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    side = 3 + 0.25 * len(names)
    figure = Figure(figsize=(side, side), layout="constrained")
    draw_overlap(names, matrix, figure.subplots())
    figure.savefig(path, format="png", dpi=110, metadata={"Software": None})


def _scores(con: duckdb.DuckDBPyConnection, axes: Any) -> None:
    rows = con.execute(
        "select score, (floor(points / 10) * 10)::bigint, count(*) from scores.person_score where points <> 0 group by all order by all"
    ).fetchall()
    for score in dict.fromkeys(s for s, _, _ in rows):
        points = [(b, c) for s, b, c in rows if s == score]
        axes.bar([b for b, _ in points], [c for _, c in points], width=9, alpha=0.7, label=score)
    axes.set_xlabel("points")
    axes.set_ylabel("persons")
    if rows:
        axes.legend()


def _events(con: duckdb.DuckDBPyConnection, axes: Any) -> None:
    rows = con.execute("select occurred_at::date, count(*) from conformed.event group by 1 order by 1").fetchall()
    axes.plot([d for d, _ in rows], [c for _, c in rows], color="#3b6ea5")
    axes.set_ylabel("events a day")
    axes.tick_params(axis="x", rotation=30)


PLOTS: dict[str, dict[str, Callable[[duckdb.DuckDBPyConnection, Any], None]]] = {
    "identity_health": {"identifiers per person": _identifiers},
    "identity_event": {"what happened to persons": _events_of_identity},
    "identity_refusal": {"edges refused by rule": _refusals},
    "identity_component": {"largest components": _components},
    "segment_membership": {"segment sizes": _segments, "segment overlap": _overlap},
    "person_score": {"score distribution": _scores},
    "event": {"events a day": _events},
}


def picture(draw: Callable[[Any], None]) -> str:
    """What `draw(axes)` draws, as Markdown with the PNG inside."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3), layout="constrained")
    draw(figure.subplots())
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=90, metadata={"Software": None})
    return f"![plot](data:image/png;base64,{base64.b64encode(image.getvalue()).decode()})"
