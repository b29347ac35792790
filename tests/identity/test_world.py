"""Identity of the built world: against a union-find, against the definition of person_id, and against the truth."""

from __future__ import annotations

import hashlib

import duckdb
import pytest

from demo.world.evaluate import Evaluation, evaluate
from tests.conftest import BuiltWorld
from tests.identity.components import partition, united
from tests.site import Site

# The floors stand a little below what this world measures (0.998 and 0.71 when they were set): what is lost below them is
# a regression. Recall cannot reach 1: a cookie deleted before its owner told who they are is tied to nothing.
LEAST_PRECISION, LEAST_RECALL, LEAST_REACHABLE_RECALL = 0.99, 0.68, 0.95
# Mess that only writes identifiers in another way must not cost precision at all.
ONLY_SPELLING = (
    "email_case",
    "email_gmail_dots",
    "email_plus_tag",
    "email_spaces",
    "phone_dashes",
    "phone_full_width",
    "phone_spaces",
)


pytestmark = pytest.mark.timeout(1800)  # the shared world is built in the first test that asks for it


@pytest.fixture(scope="module")
def site(built_world: BuiltWorld) -> Site:
    """The built world, read only."""
    return built_world.site


@pytest.fixture(scope="module")
def measured(site: Site) -> Evaluation:
    """The world's truth against its persons."""
    with duckdb.connect(str(site.settings.warehouse_path), read_only=True) as con:
        con.execute(
            "create temp table linking as select o.record_id, o.identifier_key from conformed.identifier_observation as o"
            " inner join identity.identifier as i on o.identifier_key = i.identifier_key where i.blocked_reason is null"
        )
        return evaluate(con, "identity.record_person", site.data / "world" / "truth", "linking")


def test_components_equal_a_union_find(site: Site) -> None:
    edges = site.query("select left_key, right_key from identity.identity_edge")
    assert len(edges) > 500
    labels = dict(site.query("select identifier_key, component_key from identity.identity_component"))
    assert partition(labels) == partition(united(edges))


def test_persons_are_the_components_and_named_by_their_founders(site: Site) -> None:
    """person_id can be derived again from what was seen, in any language: hash of the identifier that arrived first."""
    edges = site.query(
        "select left_key, right_key from identity.identity_edge anti join identity.identity_refusal using (left_key, right_key)"
    )
    rows = site.query(
        "select i.identifier_key, i.identifier_type, i.identifier_value, i.first_sequence, i.strength, p.person_id"
        " from identity.identifier as i left join identity.person_identifier as p using (identifier_key)"
        " where i.blocked_reason is null"
    )
    component = united(edges)
    founders: dict[int, tuple[int, int, int, str]] = {}
    for key, kind, value, sequence, strength, _ in rows:
        label = component.get(key, key)
        founders[label] = min(founders.get(label, (2**63, 0, 0, "")), (sequence, int(strength), key, f"{kind}:{value}"))
    names = {
        label: "p_" + hashlib.md5(found[3].encode(), usedforsecurity=False).hexdigest()
        for label, found in founders.items()
    }
    wrong = [kind for key, kind, _, _, _, person in rows if names[component.get(key, key)] != person]
    assert not wrong, f"{len(wrong)} of {len(rows)} identifiers are on another person"
    assert len(names) == site.one("select count(*) from profiles.person")


def test_every_record_has_at_most_one_person_and_every_person_a_record(site: Site) -> None:
    assert (
        site.query("select record_id from identity.record_person group by 1 having count(distinct person_id) > 1") == []
    )
    assert site.query("select person_id from profiles.person anti join identity.record_person using (person_id)") == []
    assert site.query("select person_id from identity.record_person anti join profiles.person using (person_id)") == []


def test_what_belongs_to_nobody_ties_nobody(site: Site) -> None:
    """What is blocked is on no person; what is shared carries no edge. Examples of both: tests/scenarios."""
    assert (
        site.query(
            "select 1 from identity.person_identifier inner join identity.identifier as i using (identifier_key)"
            " where i.blocked_reason is not null"
        )
        == []
    )
    assert (
        site.query(
            "select 1 from identity.identity_edge as e inner join identity.identifier as i"
            " on i.identifier_key in (e.left_key, e.right_key) where not i.is_stitching"
        )
        == []
    )


def test_persons_against_the_truth(measured: Evaluation) -> None:
    score = measured.overall
    print(
        f"precision {score.precision:.4f} recall {score.recall:.4f} records {score.records} missing {measured.missing}"
    )
    for kind, each in measured.per_mess.items():
        print(f"{kind}: precision {each.precision or 0:.4f} recall {each.recall or 0:.4f}")
    assert score.precision is not None and score.precision >= LEAST_PRECISION
    assert score.recall is not None and score.recall >= LEAST_RECALL
    assert score.reachable_recall is not None and score.reachable_recall >= LEAST_REACHABLE_RECALL
    assert score.records > 2500


@pytest.mark.parametrize("kind", ONLY_SPELLING)
def test_other_spellings_never_merge_two_persons(measured: Evaluation, kind: str) -> None:
    if kind not in measured.per_mess:
        pytest.skip(f"this small world has no {kind}")
    precision = measured.per_mess[kind].precision
    assert precision is not None and precision >= 0.995
