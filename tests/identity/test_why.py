"""`cdp identity why` and `preview` on the built world: chains are real edges, and what a rule would do is what it does."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BuiltWorld
from tests.site import Site

pytestmark = pytest.mark.timeout(1800)  # the shared world is built in the first test that asks for it


@pytest.fixture(scope="module")
def site(built_world: BuiltWorld) -> Site:
    """The built world, read only."""
    return built_world.site


def why(site: Site, *names: str) -> dict[str, Any]:
    return dict(json.loads(site.ok("identity", "why", "--json", *names)))


def names_of_one_person(site: Site) -> list[str]:
    rows = site.query(
        "select identifier_type || ':' || identifier_value from identity.person_identifier where not is_shared and person_id = ("
        " select person_id from identity.person_identifier group by 1 order by count(*) desc, 1 limit 1) order by first_sequence desc, 1"
    )
    return [name for (name,) in rows]


def test_a_chain_of_records_ties_two_identifiers_of_one_person(site: Site) -> None:
    names = names_of_one_person(site)
    found = why(site, names[0], names[-1])
    assert found["same"] is True
    assert found["persons"][0]["person_id"] == found["persons"][1]["person_id"]
    ends = [name for link in found["chain"] for name in (link["left"], link["right"])]
    assert sorted(n for n in set(ends) if ends.count(n) % 2) == sorted([names[0], names[-1]]), (
        "a path from one to the other"
    )
    for link in found["chain"]:
        both = site.query(
            "select identifier_type || ':' || identifier_value from conformed.identifier_observation where record_id = ?",
            link["record_id"],
        )
        assert {(link["left"],), (link["right"],)} <= set(both), "the record shows both"


def test_a_never_row_would_split_that_person(site: Site, tmp_path: Path) -> None:
    names = names_of_one_person(site)
    (left, right) = (n.split(":", 1) for n in (names[0], names[-1]))
    with (tmp_path / "identity_overrides.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["action", "left_type", "left_value", "right_type", "right_value", "reason", "author", "decided_on"]
        )
        writer.writerow(["never", *left, *right, "two people", "a test", "2026-01-01"])
    person = why(site, names[0])["persons"][0]["person_id"]
    found = json.loads(site.ok("identity", "preview", "--json", "--rules", str(tmp_path)))
    assert [split["person_id"] for split in found["largest_splits"]] == [person]
    assert found["persons_after"] == found["persons_before"] + 1
    assert found["refusals_after"]["never_merge"] == found["refusals_before"].get("never_merge", 0) + 1
    assert found["merges"] == 0
    assert site.query("select 1 from identity.identity_refusal where rule = 'never_merge'") == [], "nothing was written"


def test_nothing_changes_without_a_changed_rule(site: Site) -> None:
    found = json.loads(site.ok("identity", "preview", "--json"))
    assert (found["merges"], found["splits"], found["records_moved"]) == (0, 0, 0)
    assert found["persons_after"] == found["persons_before"]


def test_an_unknown_identifier_is_told_without_its_value(site: Site) -> None:
    done = site.cdp("identity", "why", "email:somebody.unknown@example.com")
    assert done.returncode == 2
    assert "is not known as email" in done.stderr
    assert "somebody.unknown" not in done.stderr
