"""Record, second half: the delivery log, one JSON-lines file a run, to be landed in the warehouse again.

Files are written whole from the ledger's outbox and then never change. A run that died is caught up by the next one.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from cdp.settings import Settings

if TYPE_CHECKING:
    from reverse_etl.ledger import Ledger


def folder(settings: Settings) -> Path:
    """`<data_dir>/delivery_log`, below it `<sync>/<run_id>.jsonl`.

    Keys of a line: sync, run_id, key, operation (create, update, delete, none), status (acknowledged, rejected, failed,
    invalid), reason, payload_hash, delivered_at, as_of.
    """
    return settings.path("delivery_log")


def write(sync: str, ledger: Ledger, settings: Settings) -> None:
    """Write the files of all runs whose outcomes still wait, then empty the outbox."""
    for run_id in ledger.waiting_logs(sync):
        path = folder(settings) / sync / f"{run_id}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".tmp")
        with beside.open("w", encoding="utf-8", newline="\n") as file:
            for line in ledger.outcomes(sync, run_id):
                file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        ledger.forget_outcomes(sync, run_id)
