"""The `snd_` models with dbt itself, on upstream tables made from the contracts of the models they read."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import duckdb
import pytest
import yaml

from cdp.settings import PROJECT_ROOT
from tests.commands import dbt

DBT = PROJECT_ROOT / "dbt_project"
UPSTREAM = [
    "profiles/person",
    "profiles/person_consent",
    "profiles/person_lifecycle",
    "profiles/wecom_follow",
    "scores/person_score",
    "segments/segment_membership",
    "tags/tag_assignment",
]
# Only what the models look at; every other column of the contract is null.
ROWS: dict[str, list[dict[str, object]]] = {
    "person": [
        {
            "person_id": f"p{n}", "email": f"p{n}@example.com", "phone": f"+86138001380{n:02d}", "first_name": "王",
            "last_seen_at": "2026-02-01", "can_email": n != 3, "can_wechat": n < 3, "can_ads": n % 2 == 0,
            "is_test": n == 5, "is_bot": n == 6,
        }
        for n in range(8)
    ],
    "person_consent": [{"person_id": "p4", "purpose": "marketing_email", "is_granted": False}],
    "person_lifecycle": [{"person_id": "p0", "model": "consumer", "stage": "revenue"}],
    "wecom_follow": [
        {"external_userid": "wm0", "userid": "li", "person_id": "p0"},
        {"external_userid": "wm7", "userid": "li", "person_id": "p7"},
        {"external_userid": "wm?", "userid": "li", "person_id": None},
    ],
    "person_score": [{"person_id": "p0", "score": "lead_score", "points": 12.4, "grade": "C"}],
    "segment_membership": [
        {"segment": "champions", "person_id": f"p{n}", "entered_at": "2026-02-01"} for n in range(8)
    ],
    "tag_assignment": [
        {"person_id": "p0", "tag": "city_tier", "value_type": "text", "value": "one"},
        {"person_id": "p0", "tag": "fair_visitor", "value_type": "boolean", "value": "true"},
    ],
}  # fmt: skip


def make_upstream(path: Path) -> None:
    with contextlib.closing(duckdb.connect(str(path))) as con:
        con.execute("create schema identity")
        con.execute(
            "create table identity.identity_quarantine (person_id varchar, component_key bigint, component_size bigint, reason varchar)"
        )
        for place in UPSTREAM:
            schema, model = place.split("/")
            contract = yaml.safe_load((DBT / "models" / f"{place}.yml").read_text())["models"]
            (columns,) = [found["columns"] for found in contract if found["name"] == model]
            listed = ", ".join(f'"{column["name"]}" {column["data_type"]}' for column in columns)
            con.execute(f"create schema if not exists {schema}")
            con.execute(f"create table {schema}.{model} ({listed})")
            for row in ROWS.get(model, []):
                names, marks = ", ".join(row), ", ".join("?" * len(row))
                con.execute(f"insert into {schema}.{model} ({names}) values ({marks})", list(row.values()))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse in which dbt has built and tested the models; the build must have passed."""
    folder = tmp_path_factory.mktemp("models")
    warehouse = folder / "warehouse.duckdb"
    make_upstream(warehouse)
    environment = {
        **os.environ, "CDP_WAREHOUSE_PATH": str(warehouse), "CDP_AS_OF": "2026-03-01T00:00:00", "CDP_THREADS": "1",
        "DBT_TARGET_PATH": str(folder / "target"), "DBT_LOG_PATH": str(folder / "logs"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }  # fmt: skip
    done = dbt("build", "--select", "path:models/activation", "--no-partial-parse", folder=DBT, environment=environment)
    assert done.returncode == 0, done.stdout[-6000:]
    return warehouse


def rows(built: Path, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(duckdb.connect(str(built), read_only=True)) as con:
        return con.execute(query).fetchall()


def test_contacts_are_those_who_may_be_written_to(built: Path) -> None:
    found = rows(
        built, "select email, hubspot_stage, lead_score, segments from activation.snd_hubspot__contacts order by 1"
    )
    assert found == [
        ("p0@example.com", "customer", 12, ["champions"]),
        *[(f"p{n}@example.com", None, None, ["champions"]) for n in (1, 2, 7)],
    ]


def test_wecom_tags_are_those_of_people_who_agreed(built: Path) -> None:
    found = rows(built, "select userid, external_userid, tag_name from activation.snd_wecom__contact_tags order by 3")
    assert found == [("li", "wm0", name) for name in ("city_tier: one", "fair_visitor", "segment: champions")]


def test_audience_members_are_hashed(built: Path) -> None:
    found = rows(built, "select * from activation.snd_sftp__segment_members order by person_id")
    assert [row[1] for row in found] == ["p0", "p2", "p4"]
    assert not any("@" in str(value) or "+86" in str(value) for row in found for value in row)
