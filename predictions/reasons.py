"""Why a row has its probability: the few features that moved it most."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from predictions.learning import Scored

REASONS = 5
# below this many log-odds a feature says nothing that a reader could notice (a quarter of a percent at 50 %)
LEAST_EFFECT = 0.01


def top_reasons(scored: Scored, table: pa.Table, count: int = REASONS) -> pa.Table:
    """row (number), position (1 = moved it most), feature, feature_value (text), effect (log-odds).

    Equal effects come in the order of the features' names.
    """
    names = np.array(scored.features)
    by_name = np.argsort(names, kind="stable")
    strength = np.round(np.abs(scored.effects[:, by_name]), 9)
    order = by_name[np.argsort(-strength, axis=1, kind="stable")[:, :count]]
    rows = np.repeat(np.arange(len(scored.probability)), order.shape[1])
    chosen = order.ravel()
    effects = scored.effects[rows, chosen]
    position = np.tile(np.arange(1, order.shape[1] + 1), len(scored.probability))
    kept = np.abs(effects) >= LEAST_EFFECT
    rows, chosen, effects, position = rows[kept], chosen[kept], effects[kept], position[kept]
    values = np.full(len(rows), None, dtype=object)
    for number, feature in enumerate(scored.features):
        mine = chosen == number
        if mine.any():
            texts = np.array(_texts(table[feature]), dtype=object)
            values[mine] = texts[rows[mine]]
    return pa.table(
        {
            "row": pa.array(rows, pa.int64()),
            "position": pa.array(position, pa.int64()),
            "feature": pa.array(names[chosen].tolist() if len(chosen) else [], pa.string()),
            "feature_value": pa.array(values.tolist(), pa.string()),
            "effect": pa.array(np.round(effects, 6), pa.float64()),
        }
    )


def _texts(values: pa.ChunkedArray) -> list[str | None]:
    found = values.to_pylist()
    if pa.types.is_string(values.type):
        return found
    return [None if v is None else f"{v:.6g}" for v in found]
