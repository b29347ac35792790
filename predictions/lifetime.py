"""Lifetime value: BG/NBD for how many orders are to come, Gamma-Gamma for what each is worth.

pymc-marketing fits both (maximum a posteriori with weak priors, so nothing is drawn at random). Scoring needs its parameters
only; the closed forms are those of the authors, and a test compares them with the library's:
P. Fader, B. Hardie, K. Lee, "Counting Your Customers the Easy Way" (2005), eq. 10; P. Fader, B. Hardie, "The Gamma-Gamma Model
of Monetary Value" (2013), eq. 5; P. Fader, B. Hardie, "Computing P(alive) Using the BG/NBD Model" (2008).
"""

from __future__ import annotations

import logging
import os
import warnings
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cdp.declarations import Document
from cdp.errors import RunError
from cdp.settings import Settings
from predictions.artifact import BetaGeometric, GammaGamma, LifetimeArtifact, Report, Trained
from predictions.declaration import LEAST_OF_EACH, LifetimeValueModel, ModelFile
from predictions.lifetime_rows import lifetime_sql
from predictions.store import read_from
from predictions.then import place, remember_evidence

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Lifetime:
    """Per buyer: probability of still being a customer, orders to come, value of one, value of all of them."""

    alive: Numbers
    orders: Numbers
    spend: Numbers

    @property
    def value(self) -> Numbers:
        """Value to come within the horizon, not discounted."""
        return self.orders * self.spend


def buyers(
    con: duckdb.DuckDBPyConnection, document: Document[ModelFile], settings: Settings, as_of: str, days: int
) -> pa.Table:
    """The rows of `lifetime_sql`: with days afterwards to compare with, those of a moment of the past, with buyers as they were told
    apart then."""
    sql = lifetime_sql(document, settings, then=days > 0)
    params = {"as_of": as_of.replace("T", " "), "days": days}

    def read() -> pa.Table:
        if days:
            remember_evidence(con)
            place(con, as_of)
        return con.sql(sql, params=params).to_arrow_table()

    return read_from(document.value.root.name, read)


def train(
    con: duckdb.DuckDBPyConnection, document: Document[ModelFile], settings: Settings, as_of: str
) -> tuple[LifetimeArtifact, Report]:
    """Learn from all orders but those of the last `holdout_days`, and measure on these.

    Raises RunError with fewer than 100 buyers who came again.
    """
    model = document.value.root
    assert isinstance(model, LifetimeValueModel)  # noqa: S101 - callers choose by type
    moment = holdout_start(model, as_of)
    rows = buyers(con, document, settings, moment, model.holdout_days)
    again = int((column(rows, "frequency") > 0).sum())
    if again < LEAST_OF_EACH:
        raise RunError(
            f"too little to learn from: {again} buyers who came again before {moment}",
            where=model.name,
            expected=f"at least {LEAST_OF_EACH}",
            fix="fewer holdout_days, or more history",
        )
    orders, value, scale = fit(rows, settings.path("models", ".pytensor"))
    artifact = LifetimeArtifact(
        format=1,
        kind="lifetime_value",
        name=model.name,
        declaration=model.model_dump(mode="json"),
        trained=Trained(
            as_of=as_of, cutoffs=(moment,), held_out_cutoff=moment, rows=rows.num_rows, positives=again,
            negatives=rows.num_rows - again,
        ),
        orders=orders,
        value=value,
        scale=scale,
    )  # fmt: skip
    return artifact, Report(lifetime=held_out_measures(artifact, rows, model.holdout_days))


def holdout_start(model: LifetimeValueModel, as_of: str) -> str:
    """The moment up to which a model learns, ISO."""
    return (datetime.fromisoformat(as_of) - timedelta(days=model.holdout_days)).isoformat()


def fit(rows: pa.Table, folder: Path) -> tuple[BetaGeometric, GammaGamma, float]:
    """Parameters of both models, and the mean spend by which values were divided."""
    clv, prior, pandas = _library(folder)
    frequency, spend = column(rows, "frequency"), column(rows, "spend")
    ids = [str(n) for n in range(rows.num_rows)]
    frame = pandas.DataFrame(
        {"customer_id": ids, "frequency": frequency, "recency": column(rows, "recency"), "T": column(rows, "age")}
    )
    # no order is rarer than once a life: a and b stay finite where nobody ever leaves
    orders = clv.BetaGeoModel(
        model_config={
            "r": prior("HalfFlat"), "alpha": prior("HalfFlat"),
            "a": prior("HalfNormal", sigma=10), "b": prior("HalfNormal", sigma=10),
        }
    )  # fmt: skip
    paying = (frequency > 0) & (spend > 0)
    scale = float(spend[paying].mean())
    value = clv.GammaGammaModel(model_config={name: prior("HalfFlat") for name in ("p", "q", "v")})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        orders.fit(frame[frame["T"] > 0], method="map", progressbar=False)
        spent = pandas.DataFrame(
            {"customer_id": ids, "frequency": frequency, "monetary_value": spend / scale}
        )[paying]  # fmt: skip
        value.fit(spent, method="map", progressbar=False)
    found = {n: _rounded(orders, n) for n in ("r", "alpha", "a", "b")}
    return BetaGeometric(**found), GammaGamma(**{n: _rounded(value, n) for n in ("p", "q", "v")}), scale


def lifetime(artifact: LifetimeArtifact, rows: pa.Table, days: float) -> Lifetime:
    """What is to be expected of each buyer within `days`."""
    from scipy.special import hyp2f1

    r, alpha, a, b = (getattr(artifact.orders, n) for n in ("r", "alpha", "a", "b"))
    p, q, v = artifact.value.p, artifact.value.q, artifact.value.v
    x, recency, age = (column(rows, n) for n in ("frequency", "recency", "age"))
    gone = np.where(x > 0, a / np.maximum(b + x - 1, 1e-12) * ((alpha + age) / (alpha + recency)) ** (r + x), 0.0)
    alive = 1.0 / (1.0 + gone)
    end = alpha + age + days
    shape = a + b + x - 1
    # a = 1 is a hole in the formula, not in the model
    below = a - 1 if abs(a - 1) > 1e-9 else 1e-9
    ratio = ((alpha + age) / end) ** (r + x) * hyp2f1(r + x, b + x, shape, days / end)
    orders = np.maximum(shape / below * (1 - ratio) / (1 + gone), 0.0)
    spend = artifact.scale * p * (v + x * column(rows, "spend") / artifact.scale) / np.maximum(p * x + q - 1, 1e-9)
    return Lifetime(alive, orders, spend)


def held_out_measures(artifact: LifetimeArtifact, rows: pa.Table, days: int) -> dict[str, float]:
    """Predicted against actual orders and value after the cut-off; `naive`: everybody goes on at their own pace so far."""
    found = lifetime(artifact, rows, days)
    actual, value = column(rows, "orders_after"), column(rows, "value_after")
    naive = column(rows, "frequency") / np.maximum(column(rows, "age"), 1.0) * days
    measures = {
        "buyers": float(rows.num_rows),
        "actual_orders": actual.sum(),
        "predicted_orders": found.orders.sum(),
        "mean_absolute_error": np.abs(found.orders - actual).mean(),
        "naive_orders": naive.sum(),
        "naive_mean_absolute_error": np.abs(naive - actual).mean(),
        "actual_value": value.sum(),
        "predicted_value": found.value.sum(),
        "rank_correlation": _rank_correlation(found.orders, actual),
    }
    return {name: round(float(number), 4) for name, number in measures.items()}


def column(rows: pa.Table, name: str) -> Numbers:
    """A column as float64."""
    return np.asarray(rows[name].to_numpy(), dtype=np.float64)


def _library(folder: Path) -> tuple[Any, Any, Any]:
    """pymc-marketing (4 s to import), its priors, pandas. PyTensor computes in NumPy: no compiler is needed, and the same
    machine gives the same digits; compiling took 60 s for a fit of 3 s."""
    os.environ.setdefault("PYTENSOR_FLAGS", f"cxx=,mode=FAST_COMPILE,base_compiledir={folder}")
    logging.getLogger("pytensor").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandas
        from pymc_extras.prior import Prior
        from pymc_marketing import clv
    return clv, Prior, pandas


def _rounded(model: Any, name: str) -> float:
    """A parameter to nine digits: the optimiser knows no more, and the last ones hang on the machine."""
    return float(f"{float(model.fit_result[name].to_numpy().mean()):.9g}")


def _rank_correlation(left: Numbers, right: Numbers) -> float:
    from scipy.stats import spearmanr

    if len(left) < 2 or np.ptp(left) == 0 or np.ptp(right) == 0:
        return 0.0
    return float(spearmanr(left, right).statistic)
