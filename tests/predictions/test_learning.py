"""What a model learns is kept exactly, adds up, is the same each time, and is refused where there is too little."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cdp.errors import ConfigurationError, RunError
from cdp.settings import PROJECT_ROOT
from predictions.artifact import MANIFEST, MODEL, Report, canonical, read, write
from predictions.declaration import TableModel
from predictions.leakage import alone, telling_names
from predictions.learned import Tree
from predictions.learning import Rows, learn, probabilities, refuse_too_few
from predictions.measures import measure
from predictions.reasons import top_reasons


def model(**changes: Any) -> TableModel:
    given = {"name": "m", "owner": "data", "description": "d", "type": "table", "id": "id"}
    return TableModel.model_validate({**given, **changes})


def rows(count: int, seed: int) -> Rows:
    """A label that hangs on `x` (a tenth missing, which says something too) and on `city`; `noise` says nothing."""
    draw = np.random.default_rng(seed)
    x, noise = draw.normal(size=count), draw.normal(size=count)
    city = draw.choice(["Lyon", "Osaka", "Leeds", "Wuhan"], size=count)
    missing = draw.random(count) < 0.1
    score = 1.5 * x + np.where(city == "Osaka", 1.0, -0.5) + np.where(missing, 1.0, 0.0)
    label = (draw.random(count) < 1 / (1 + np.exp(-score))).astype(np.int64)
    table = pa.table(
        {
            "x": pa.array(np.where(missing, np.nan, x), from_pandas=True),
            "noise": noise,
            "city": pa.array([None if draw.random() < 0.05 else str(c) for c in city], pa.string()),
        }
    )
    return Rows(table, label, np.arange(count))


def trained(algorithm: str = "gradient_boosting", calibration: str = "sigmoid", seed: int = 3) -> Any:
    declared = model(algorithm=algorithm, calibration=calibration)
    return learn(
        declared,
        rows(1500, seed),
        rows(1500, seed + 1),
        numbers=["x", "noise"],
        texts=["city"],
        trained={"as_of": None},
    )


@pytest.mark.parametrize("algorithm", ["gradient_boosting", "logistic"])
def test_reasons_add_up_to_the_probability(algorithm: str) -> None:
    artifact, report = trained(algorithm)
    held_out = rows(800, 9)
    scored = probabilities(artifact, held_out.table)
    total = scored.intercept + scored.effects.sum(axis=1)
    assert np.allclose(1 / (1 + np.exp(-total)), scored.probability, atol=1e-12)
    reasons = top_reasons(scored, held_out.table, count=3)
    first = reasons.filter(pa.compute.equal(reasons["position"], 1))
    strongest = np.abs(scored.effects).max(axis=1)
    assert np.allclose(np.abs(first["effect"].to_numpy()), strongest[first["row"].to_numpy()], atol=1e-6)
    assert next(iter(report.importance)) == "x"
    assert list(report.importance)[-1] == "noise"


@pytest.mark.parametrize("calibration", ["sigmoid", "isotonic"])
def test_probabilities_are_calibrated_on_rows_never_seen(calibration: str) -> None:
    """Known truth: the best possible AUC of these rows is about 0.85, and predicted shares must be the observed ones."""
    _, report = trained(calibration=calibration)
    assert report.held_out.auc > 0.78
    assert report.held_out.calibration_gap < 0.06
    assert report.held_out.brier < report.held_out.brier_of_base_rate * 0.8
    assert report.warnings == ()


def test_the_same_rows_give_the_same_bytes_with_any_number_of_threads() -> None:
    code = (
        "from tests.predictions.test_learning import trained\n"
        "from predictions.artifact import canonical\nimport hashlib\n"
        "a, r = trained()\nprint(hashlib.sha256((canonical(a) + canonical(r)).encode()).hexdigest())"
    )
    found = set()
    for threads in ("1", "2"):
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "PYTHONHASHSEED": threads,
        }
        run = subprocess.run(
            [sys.executable, "-c", code], cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=True
        )
        found.add(run.stdout.strip())
    assert len(found) == 1


def test_fewer_than_a_hundred_of_either_are_refused() -> None:
    refuse_too_few("m", 100, 100)
    for positives, negatives in ((99, 5000), (5000, 99)):
        with pytest.raises(RunError, match=f"{positives} positive and {negatives} negative") as caught:
            refuse_too_few("m", positives, negatives)
        assert "at least 100 of each" in caught.value.render()


def test_persons_count_once_however_many_rows_they_have() -> None:
    """70 persons with one row in each of six rounds; 60 of them are positive in every other round. Counted as rows there
    would be enough of both: 180 and 240."""
    few = rows(420, 1)
    person, turn = np.arange(420) % 70, np.arange(420) // 70
    label = ((turn % 2 == 1) & (person < 60)).astype(np.int64)
    assert min(label.sum(), (1 - label).sum()) > 100
    repeated = Rows(few.table, label, person)
    with pytest.raises(RunError, match="too little to learn from: 60 positive and 70 negative"):
        learn(model(), repeated, repeated, numbers=["x"], texts=[], trained={"as_of": None})


def test_a_feature_that_knows_the_outcome_is_named() -> None:
    learnt = rows(1000, 5)
    knows = np.where(np.random.default_rng(5).random(1000) < 0.97, learnt.label, 1 - learnt.label)
    table = learnt.table.append_column("told", pa.array(["yes" if k else "no" for k in knows]))
    leaky = Rows(table, learnt.label, learnt.group)
    _, report = learn(model(), leaky, leaky, numbers=["x", "noise"], texts=["city", "told"], trained={"as_of": None})
    assert [w.feature for w in report.warnings] == ["told"]
    ids = pa.chunked_array([pa.array([f"id{n}" for n in range(1000)])])
    assert alone(ids, learnt.label, learnt.group) < 0.6, "a column of ids knows nothing"


def test_names_that_tell() -> None:
    names = ["Tags", "last_activity", "deal_status", "won", "Lead Source", "Stagecoach", "tagline", "visits"]
    assert [w.feature for w in telling_names(names)] == ["Tags", "last_activity", "deal_status", "won"]


def test_measures_of_known_rows() -> None:
    """Four rows by hand: 3 of 4 pairs in order; squared errors 0.01, 0.49, 0.16, 0.04 (mean 0.175)."""
    found = measure(np.array([1, 1, 0, 0]), np.array([0.9, 0.3, 0.4, 0.2]))
    assert (found.auc, found.brier, found.base_rate) == (0.75, 0.175, 0.5)
    assert found.average_precision == pytest.approx((1 + 2 / 3) / 2, abs=1e-6)
    assert found.bins[0].lift == 2.0
    assert measure(np.array([0, 0]), np.array([0.1, 0.2])).auc is None


def test_a_model_on_disk_is_what_was_learnt_or_refused(tmp_path: Path) -> None:
    artifact, report = trained()
    write(tmp_path, artifact, report)
    assert read(tmp_path) == (artifact, report)
    held_out = rows(50, 2)
    assert (
        probabilities(read(tmp_path)[0], held_out.table).probability
        == probabilities(artifact, held_out.table).probability
    ).all()  # type: ignore[arg-type]
    text = (tmp_path / MODEL).read_text()
    (tmp_path / MODEL).write_text(text.replace('"name":"m"', '"name":"n"'))
    with pytest.raises(ConfigurationError, match="has been changed"):
        read(tmp_path)


def test_a_file_that_is_no_model_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    artifact, report = trained("logistic")
    wrong: list[bytes] = [pickle.dumps(Runs()), b"{}", b'{"kind": "probability"}']
    broken = json.loads(canonical(artifact))
    broken["learned"]["weights"] = broken["learned"]["weights"][1:]
    wrong.append(json.dumps(broken).encode())
    broken = json.loads(canonical(artifact))
    broken["learned"]["intercept"] = float("nan")
    wrong.append(json.dumps(broken).encode())
    for data in wrong:
        write(tmp_path, artifact, report)
        (tmp_path / MODEL).write_bytes(data)
        manifest = json.loads((tmp_path / MANIFEST).read_text())
        import hashlib

        manifest[MODEL] = hashlib.sha256(data).hexdigest()
        (tmp_path / MANIFEST).write_text(json.dumps(manifest))
        with pytest.raises(ConfigurationError):
            read(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_tree_that_goes_in_circles_is_refused() -> None:
    good = {
        "feature": [0, 0, 0],
        "threshold": [0, 0, 0],
        "missing_left": [True] * 3,
        "left": [1, -1, -1],
        "right": [2, -1, -1],
        "value": [0, 1, 2],
    }
    Tree.model_validate(good)
    for left, right in (([0, -1, -1], [2, -1, -1]), ([1, -1, -1], [9, -1, -1]), ([1, -1, -1], [-1, -1, -1])):
        with pytest.raises(ValueError, match="children that follow"):
            Tree.model_validate({**good, "left": left, "right": right})


def test_a_report_needs_no_measures() -> None:
    assert Report().held_out is None
