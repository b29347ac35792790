"""What Dagster shows of a sync's run: its counts, the classes of its errors, and its last runs as a plot. No row, no value."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import Any

import dagster as dg

from cdp.errors import CdpError
from cdp.plots import picture
from cdp.settings import Settings
from reverse_etl import control
from reverse_etl.catalog import ResolvedSync
from reverse_etl.ledger import Ledger
from reverse_etl.ledger_rows import RunRecord
from reverse_etl.result import SyncResult

_RUNS = 30
# Figures of a run that are drawn above one another, with their colours.
_DRAWN = {
    "created": "#5a9e6f", "updated": "#3b6ea5", "appended": "#5f8fc0", "merged": "#8a7cb8", "deleted": "#8c8c8c",
    "rejected": "#b5533c", "failed": "#d98b4a", "in_doubt": "#d9c24a", "suppressed": "#c9b3d6", "not_attempted": "#dddddd",
}  # fmt: skip


def metadata_of(
    resolved: ResolvedSync, result: SyncResult | None, error: CdpError | None, settings: Settings
) -> dict[str, Any]:
    """Metadata of an asset. `error_classes` counts all rows that are open, also those of earlier runs."""
    figures = result.to_dict() if result else {}
    found: dict[str, Any] = {name: value for name, value in figures.items() if isinstance(value, int | str | bool)}
    if error:
        found["error"] = error.render()
    try:
        groups = control.errors(resolved.sync.name, settings)
        with closing(Ledger(settings)) as ledger:
            runs = ledger.runs(resolved.ledger_name, _RUNS)
    except CdpError:
        # The ledger cannot be read: `error` says so already.
        return found
    if groups:
        found["error_classes"] = dg.TableMetadataValue(records=_records(groups), schema=_SCHEMA)
    if runs:
        found["runs"] = dg.MetadataValue.md(picture(partial(_draw, runs[::-1])))
    return found


_SCHEMA = dg.TableSchema(
    columns=[
        dg.TableColumn("error_class"),
        dg.TableColumn("status"),
        dg.TableColumn("code"),
        dg.TableColumn("rows", "int"),
        dg.TableColumn("to_do"),
    ]
)


def _records(groups: list[dict[str, Any]]) -> list[dg.TableRecord]:
    """Open rows by class, status and code; reasons are left to `cdp sync errors`, since there may be thousands."""
    rows: dict[tuple[str, str, str, str], int] = {}
    for group in groups:
        key = (group["meaning"], group["status"], group["code"], group["to_do"])
        rows[key] = rows.get(key, 0) + group["rows"]
    return [
        dg.TableRecord({"error_class": meaning, "status": status, "code": code, "rows": count, "to_do": to_do})
        for (meaning, status, code, to_do), count in sorted(rows.items(), key=lambda item: (-item[1], item[0]))
    ]


def _draw(runs: list[RunRecord], axes: Any) -> None:
    names = [str(number) for number in range(1 - len(runs), 1)]
    below = [0] * len(runs)
    for figure, colour in _DRAWN.items():
        values = [int(run.counts.get(figure, 0)) for run in runs]
        if any(values):
            axes.bar(names, values, bottom=below, color=colour, label=figure)
            below = [b + v for b, v in zip(below, values, strict=True)]
    axes.set_xlabel("runs before this one")
    axes.set_ylabel("rows")
    if any(below):
        axes.legend(fontsize=6)
