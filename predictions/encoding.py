"""Rows of features as a matrix of numbers, the same way when a model learns and when it scores.

A number stays one column (and, for logistic regression, one more that says whether it was missing). A text becomes one
column for each of its frequent values and one for all others; a missing text is 0 in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from cdp.declarations import Declaration

Matrix = NDArray[np.float64]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class EncodedColumn(Declaration):
    """One column of the matrix. `fill` stands for a missing number (None: it stays missing); then (x - center) / scale."""

    feature: str
    kind: Literal["value", "missing", "is", "other"]
    category: str | None = None
    fill: Finite | None = None
    center: Finite = 0.0
    scale: Annotated[Finite, Field(gt=0)] = 1.0


class Encoder(Declaration):
    """What a model reads, and how it becomes numbers."""

    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    columns: tuple[EncodedColumn, ...]

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features, numbers first."""
        return (*self.numbers, *self.texts)

    def matrix(self, rows: pa.Table) -> Matrix:
        """float64 of shape (rows, columns). `rows` has the features by name, numbers as double, texts as string."""
        numbers = {n: _numbers(rows, n) for n in self.numbers}
        found = np.empty((rows.num_rows, len(self.columns)), dtype=np.float64)
        categories = {n: {c.category for c in self.columns if c.feature == n and c.kind == "is"} for n in self.texts}
        for position, column in enumerate(self.columns):
            if column.kind == "value":
                values = numbers[column.feature]
                if column.fill is not None:
                    values = np.where(np.isnan(values), column.fill, values)
                found[:, position] = (values - column.center) / column.scale
            elif column.kind == "missing":
                found[:, position] = np.isnan(numbers[column.feature])
            elif column.kind == "is":
                found[:, position] = _flags(pc.equal(rows[column.feature], column.category))
            else:
                known = pa.array(sorted(c for c in categories[column.feature] if c is not None), pa.string())
                rare = pc.and_(pc.is_valid(rows[column.feature]), pc.invert(pc.is_in(rows[column.feature], known)))
                found[:, position] = _flags(rare)
        return found


def learn_encoder(
    rows: pa.Table, numbers: Sequence[str], texts: Sequence[str], *, max_categories: int, scaled: bool
) -> Encoder:
    """The encoder for training rows. `scaled`: fill, centre and scale numbers (logistic regression); trees need none."""
    columns: list[EncodedColumn] = []
    for feature in numbers:
        values = _numbers(rows, feature)
        missing = np.isnan(values)
        if not scaled:
            columns.append(EncodedColumn(feature=feature, kind="value"))
            continue
        known = values[~missing]
        center = float(known.mean()) if known.size else 0.0
        spread = float(known.std()) if known.size else 0.0
        columns.append(
            EncodedColumn(
                feature=feature, kind="value", fill=center, center=center, scale=spread if spread > 0 else 1.0
            )
        )
        if 0 < missing.sum() < missing.size:
            columns.append(EncodedColumn(feature=feature, kind="missing"))
    for feature in texts:
        counts = pc.value_counts(pc.drop_null(rows[feature].combine_chunks()))
        ranked = sorted((-c["counts"], c["values"]) for c in counts.to_pylist())
        kept = sorted(value for _, value in ranked[:max_categories])
        columns += [EncodedColumn(feature=feature, kind="is", category=value) for value in kept]
        if len(ranked) > len(kept):
            columns.append(EncodedColumn(feature=feature, kind="other"))
    return Encoder(numbers=tuple(numbers), texts=tuple(texts), columns=tuple(columns))


def _numbers(rows: pa.Table, feature: str) -> Matrix:
    """The values with NaN where there is none; infinity counts as none."""
    values = np.array(rows[feature].cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    values[~np.isfinite(values)] = np.nan
    return values


def _flags(values: pa.ChunkedArray) -> Matrix:
    return np.asarray(pc.fill_null(values, False).cast(pa.float64()).to_numpy(zero_copy_only=False))
