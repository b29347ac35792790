"""Tags that a model says, and predictions in expressions: of persons and of accounts, with bands, before and after a scoring."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdp.errors import DeclarationError
from tests.declarations.scratch import build, compiled, warehouse, write, write_contracts

MODELS = {
    "leaves": "type: outcome\ngrain: person\n",
    "opens": "type: outcome\ngrain: account\n",
    "worth": "type: lifetime_value\n",
}


def declare(folder: Path, tags: dict[str, str]) -> dict[str, str]:
    """The generated models of tags in a project that has three predictive models."""
    write_contracts(folder)
    for name, text in MODELS.items():
        write(folder, f"scores/models/{name}.yml", text)
    for name, text in tags.items():
        write(folder, f"tags/{name}.yml", text)
    return compiled(folder)


def test_values_of_mined_tags(tmp_path: Path) -> None:
    """The number or its band, an edge in the band above, the last band without a limit; nothing of whom no model speaks of; since the scoring."""
    models = declare(tmp_path, {
        "risk": "type: mined\nmodel: leaves\nbands: [{value: high, at_least: 0.7}, {value: low}]\n",
        "known_risk": "type: mined\nmodel: leaves\nbands: [{value: high, at_least: 0.7}]\n",
        "value": "type: mined\nmodel: worth\noutput: expected_value\n",
        "opening": "type: mined\nmodel: opens\n",
        "alarm": "type: rule\nwhen: prediction.leaves > 0.5 and prediction.worth_value > 10 and risk = 'high'\n",
    })  # fmt: skip
    db = warehouse()
    db.execute(
        "insert into person by name select 'p' || i as person_id, 'a' || (i % 2) as account_key from range(4) t(i)"
    )
    db.execute("insert into account by name select 'a' || i as account_key from range(2) t(i)")
    db.execute(
        "insert into person_prediction by name select * from (values ('p0', 'leaves', 0.7, null), ('p1', 'leaves', 0.69, null),"
        " ('p0', 'worth', 0.1, 99.5), ('p2', 'worth', 0.2, 0.0)) as t (person_id, model, probability, expected_value),"
        " (select timestamp '2026-02-27' as scored_as_of)"
    )
    db.execute("insert into account_prediction values ('a1', 'opens', 0.25, 1, timestamp '2026-02-27')")
    build(db, models)
    assert db.execute(
        "select person_id, risk, known_risk, value, opening, alarm from person_tags order by 1"
    ).fetchall() == [
        ("p0", "high", "high", 99.5, None, True),
        ("p1", "low", None, None, 0.25, False),
        ("p2", None, None, 0.0, None, False),
        ("p3", None, None, None, 0.25, False),
    ]
    since = "select distinct since_at::date::varchar from int_tags__tags_unpivoted where tag in ('risk', 'value', 'opening')"
    assert db.execute(since).fetchall() == [("2026-02-27",)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("type: mined\nmodel: leafs\n", 'model: there is no model "leafs"\n  expected: one of leaves, opens, worth'),
        ("type: mined\nmodel: leaves\noutput: expected_value\n", "which leaves does not say"),
        ("type: mined\nmodel: leaves\nbands: [{value: a, at_least: 0.1}, {value: b, at_least: 0.7}]\n", "falling"),
        ("type: rule\nwhen: leaves > 0.5\n", 'did you mean "prediction.leaves"?'),
        ("type: rule\nwhen: prediction.leaves_value > 0.5\n", 'unknown column "prediction.leaves_value"'),
    ],
)
def test_wrong_mined_tags(tmp_path: Path, text: str, told: str) -> None:
    """Each is a clear error."""
    with pytest.raises(DeclarationError) as wrong:
        declare(tmp_path, {"wrong": text})
    assert told in wrong.value.render(), wrong.value.render()


def test_a_model_whose_name_ends_like_an_output_is_refused(tmp_path: Path) -> None:
    """`order_value` could be the value of a model `order`."""
    write(tmp_path, "scores/models/order_value.yml", "type: outcome\n")
    with pytest.raises(DeclarationError, match=r"order_value\.yml: ends with"):
        declare(tmp_path, {})
