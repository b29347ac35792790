"""Lifetime value: our closed forms are the library's, and parameters that made the data are found again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from predictions.artifact import BetaGeometric, GammaGamma, LifetimeArtifact, Trained
from predictions.lifetime import _library, fit, lifetime

TRUE = {"r": 1.2, "alpha": 30.0, "a": 0.8, "b": 2.5, "p": 4.0, "q": 4.0, "v": 30.0}


def artifact(orders: BetaGeometric, value: GammaGamma, scale: float) -> LifetimeArtifact:
    trained = Trained(as_of=None, rows=1, positives=1, negatives=0)
    return LifetimeArtifact(
        format=1,
        kind="lifetime_value",
        name="v",
        declaration={},
        trained=trained,
        orders=orders,
        value=value,
        scale=scale,
    )


def buyers(count: int, seed: int) -> pa.Table:
    """Buyers drawn from BG/NBD and Gamma-Gamma with the parameters TRUE, watched for 100 to 400 days."""
    draw = np.random.default_rng(seed)
    rate = draw.gamma(TRUE["r"], 1 / TRUE["alpha"], count)
    leaves = draw.beta(TRUE["a"], TRUE["b"], count)
    nu = draw.gamma(TRUE["q"], 1 / TRUE["v"], count)
    rows: dict[str, list[Any]] = {n: [] for n in ("frequency", "recency", "age", "spend")}
    for person in range(count):
        age, at, seen, last = float(draw.integers(100, 400)), 0.0, 0, 0.0
        while draw.random() >= leaves[person] or (seen == 0 and at == 0.0):
            at += draw.exponential(1 / rate[person])
            if at > age:
                break
            seen, last = seen + 1, at
        spends = draw.gamma(TRUE["p"], 1 / nu[person], seen)
        for name, value in zip(rows, (float(seen), last, age, float(spends.mean()) if seen else 0.0), strict=True):
            rows[name].append(value)
    return pa.table(rows)


def test_the_closed_forms_are_the_library_s_and_parameters_are_recovered(tmp_path: Path) -> None:
    seed = 11
    print(f"seed {seed}")
    rows = buyers(1000, seed)
    orders, value, scale = fit(rows, tmp_path)
    # 1,000 buyers leave wide margins for a and b; rate and spend are told well
    assert 0.85 < (orders.r / orders.alpha) / (TRUE["r"] / TRUE["alpha"]) < 1.15
    mean_spend = scale * value.p * value.v / (value.q - 1)
    assert 0.85 < mean_spend / (TRUE["p"] * TRUE["v"] / (TRUE["q"] - 1)) < 1.15
    clv, _, pandas = _library(tmp_path)
    known = BetaGeometric(r=1.2, alpha=30, a=0.8, b=2.5)
    ours = lifetime(artifact(known, GammaGamma(p=4, q=4, v=30), 1.0), rows.slice(0, 200), 90)
    frame = pandas.DataFrame(
        {
            "customer_id": range(200),
            **{
                k: rows[c].to_numpy()[:200]
                for k, c in (("frequency", "frequency"), ("recency", "recency"), ("T", "age"))
            },
        }
    )
    library = clv.BetaGeoModel()
    library.build_model(frame)  # its closed forms ask the built model for its coordinates
    library.idata = _posterior(TRUE, ("r", "alpha", "a", "b"))
    theirs = library.expected_purchases(data=frame, future_t=90).to_numpy().ravel()
    assert np.allclose(ours.orders, theirs, rtol=1e-6, atol=1e-9)
    alive = library.expected_probability_alive(data=frame).to_numpy().ravel()
    assert np.allclose(ours.alive, alive, rtol=1e-6)
    worth = clv.GammaGammaModel()
    worth.idata = _posterior(TRUE, ("p", "q", "v"))
    spent = frame.assign(monetary_value=rows["spend"].to_numpy()[:200])
    theirs = worth.expected_customer_spend(data=spent).to_numpy().ravel()
    assert np.allclose(ours.spend, theirs, rtol=1e-6)


def test_who_never_came_again_is_a_customer_still_and_worth_the_average() -> None:
    one = pa.table({"frequency": [0.0], "recency": [0.0], "age": [50.0], "spend": [0.0]})
    found = lifetime(artifact(BetaGeometric(r=1, alpha=10, a=1, b=2), GammaGamma(p=2, q=3, v=10), 2.0), one, 30)
    assert found.alive[0] == 1.0
    assert found.spend[0] == 2.0 * 2 * 10 / (3 - 1)
    assert np.isfinite(found.value).all()


def _posterior(values: dict[str, float], names: tuple[str, ...]) -> Any:
    import arviz

    return arviz.from_dict({n: np.array([[values[n]]]) for n in names})
