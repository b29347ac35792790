"""tests/scenarios/<behaviour>: records in the order of their arrival, and the persons that must come of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.identity.models import resolved

SCENARIOS = sorted(p.parent for p in (Path(__file__).resolve().parents[1] / "scenarios").glob("*/expect.yml"))
KNOWN_KEYS = {"persons", "founders", "shared", "nobody", "refused"}


def read(path: Path) -> dict[str, Any]:
    """A YAML mapping."""
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda p: p.name)
def test_scenario(scenario: Path) -> None:
    records, expected = read(scenario / "input.yml"), read(scenario / "expect.yml")
    assert expected.keys() <= KNOWN_KEYS
    nobody = expected.get("nobody", [])
    assert sorted(records) == sorted([r for person in expected["persons"] for r in person] + nobody), (
        "every record is expected"
    )
    overrides = read(scenario / "overrides.yml")["overrides"] if (scenario / "overrides.yml").exists() else None
    with resolved(records, overrides) as con:
        persons: dict[str, set[str]] = {}
        for record, person in con.execute("select record_id, person_id from record_person").fetchall():
            persons.setdefault(person, set()).add(record)
        shared = con.execute(
            "select identifier_type || ':' || identifier_value from identifier where is_shared"
        ).fetchall()
        refused = con.execute(
            "select list_sort([left_type || ':' || left_value, right_type || ':' || right_value]), rule from identity_refusal"
        ).fetchall()
        for record, founder in expected.get("founders", {}).items():
            found = con.execute(
                "select identifier_type || ':' || identifier_value from record_person inner join person_identifier using (person_id)"
                " where record_id = ? and is_founding",
                [record],
            ).fetchall()
            assert found == [(founder,)]
    assert sorted(map(sorted, persons.values())) == sorted(map(sorted, expected["persons"]))
    assert sorted(value for (value,) in shared) == sorted(expected.get("shared", []))
    assert sorted((sorted(pair), rule) for pair, rule in refused) == sorted(
        (sorted(r["pair"]), r["rule"]) for r in expected.get("refused", [])
    )


def test_there_are_scenarios() -> None:
    assert len(SCENARIOS) >= 6
