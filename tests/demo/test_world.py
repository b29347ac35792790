"""The generator keeps its promises: same bytes, days that stay, a truth for every record, the stated amount of dirt."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from cdp.errors import CdpError, ConfigurationError
from demo.world import WorldSummary, advance, generate, read_summary
from tests.demo import reading

SMALL = {"persons": 250, "days": 12, "seed": 3, "horizon": 24}
# large enough that every kind of row occurs on the new days: few persons hide a coupon that reaches back
GROWING, STEPS = {"persons": 2_000, "days": 20, "seed": 9, "horizon": 40}, (1, 4)


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder and the hash of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_another_seed_is_another_world(tmp_path: Path) -> None:
    generate(**SMALL, out=tmp_path / "one")
    generate(**{**SMALL, "seed": 4}, out=tmp_path / "other")
    one, other = tree(tmp_path / "one"), tree(tmp_path / "other")
    assert one.keys() == other.keys()
    assert one["sources/website/events-2026-01-05.jsonl"] != other["sources/website/events-2026-01-05.jsonl"]
    assert not (tmp_path / "one.building").exists()


def test_same_arguments_same_bytes_with_any_number_of_threads(tmp_path: Path) -> None:
    """More records than a row group of DuckDB holds (122,880), where the work of threads could show."""
    arguments = {"persons": 6_000, "days": 45, "seed": 5}
    summary = generate(**arguments, out=tmp_path / "one", threads=1)
    generate(**arguments, out=tmp_path / "three", threads=3)
    assert sum(summary.records.values()) > 122_880
    assert tree(tmp_path / "one") == tree(tmp_path / "three")


def test_advancing_equals_generating_and_leaves_written_days_alone(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    old, new, _ = _grown(tmp_path_factory)
    generate(**{**GROWING, "days": GROWING["days"] + sum(STEPS)}, out=tmp_path / "whole")
    before, after = tree(old), tree(new)
    assert after == tree(tmp_path / "whole")

    daily = {name for name in before if "-2026-01-" in name}
    assert len(daily) == GROWING["days"] * 11
    assert {name: after[name] for name in daily} == {name: before[name] for name in daily}
    new_days = {name.rpartition("2026-01-")[2].split(".")[0] for name in after.keys() - before.keys()}
    assert new_days == {"21", "22", "23", "24", "25"}


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("crm/accounts", "id"),
        ("crm/leads", "id"),
        ("crm/opportunities", "id"),
        ("crm/stage_history", "id"),
        ("wechat_oa/followers", "openid"),
        ("support/tickets", "id"),
        ("shop/orders", "order_id"),
        ("shop/customers", "customer_id"),
    ],
)
def test_a_changed_row_of_a_mutable_source_says_so(
    tmp_path_factory: pytest.TempPathFactory, table: str, key: str
) -> None:
    old_dir, new_dir, as_of = _grown(tmp_path_factory)
    old, new = (_rows(folder, table, key) for folder in (old_dir, new_dir))
    assert old.keys() <= new.keys(), "rows vanished"
    border = as_of if not table.startswith("shop/") else "2026-01-21 08:00:00"  # Asia/Shanghai
    changed = [name for name, row in new.items() if old.get(name) != row]
    assert changed, "nothing happened in five days"
    assert all(str(new[name]["updated_at"]) >= border for name in changed)
    assert all(str(row["updated_at"]) < border for row in old.values())


_GROWN: list[tuple[Path, Path, str]] = []


def _grown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    if not _GROWN:
        folder = tmp_path_factory.mktemp("grown")
        summary = generate(**GROWING, out=folder / "new")
        shutil.copytree(folder / "new", folder / "old")
        for days in STEPS:
            advance(folder / "new", days)
        _GROWN.append((folder / "old", folder / "new", summary.as_of.strftime("%Y-%m-%dT%H:%M:%SZ")))
    return _GROWN[0]


def _rows(world: Path, table: str, key: str) -> dict[str, dict[str, object]]:
    rows = (
        reading.read_shop(world, table.split("/")[1]) if table.startswith("shop/") else reading.read(world, table).rows
    )
    found = {str(row[key]): row for row in rows}
    assert len(found) == len(rows), "a key is there twice"
    return found


def test_every_record_has_one_true_person_or_is_listed_as_malformed(world: Path) -> None:
    known: dict[str, dict[str, int]] = defaultdict(dict)
    for row in reading.truth(world, "record_person"):
        name = f"{row['source']}.{row['table_name']}"
        assert row["record_key"] not in known[name], f"{name} has a record with two persons"
        known[name][row["record_key"]] = row["person_no"]
    found = reading.record_keys(world)
    assert found.keys() == known.keys()
    for name, keys in found.items():
        assert keys == known[name].keys(), name
    persons = {row["person_no"] for row in reading.truth(world, "persons")}
    assert {person for table in known.values() for person in table.values()} <= persons

    lost = {
        (f"{r['source']}.{r['table_name']}", r["record_key"]) for r in reading.truth(world, "malformed") if r["is_lost"]
    }
    assert lost
    assert all(key not in found[name] for name, key in lost)


def test_unreadable_rows_are_those_listed(world_summary: tuple[Path, WorldSummary]) -> None:
    world, summary = world_summary
    listed = Counter(f"{row['source']}.{row['table_name']}" for row in reading.truth(world, "malformed"))
    found = Counter()
    for file in [
        *reading.CSV_FILES,
        *(f for f in reading.JSONL_KEYS if f.split("/")[0] in ("website", "app", "nps", "consent")),
    ]:
        content = reading.read(world, file)
        name = file.replace("/", ".")
        found[name] += content.unreadable
        assert summary.records[name] == len(content.rows) + content.unreadable
    assert +found == +listed == Counter(summary.malformed)


def test_identifiers_written_in_records_are_their_persons(world: Path) -> None:
    """What a source says of a person is what the truth says: ids, cards and cookies lead to the same one."""
    owners: dict[tuple[str, str], set[int]] = defaultdict(set)
    for row in reading.truth(world, "identifier_person"):
        owners[row["identifier_type"], row["identifier_value"]].add(row["person_no"])
    person_of = {
        (f"{r['source']}.{r['table_name']}", r["record_key"]): r["person_no"]
        for r in reading.truth(world, "record_person")
    }
    checked = Counter()

    def check(table: str, key: str, kind: str, value: str | None) -> None:
        if value:
            assert person_of[table, key] in owners[kind, value], (table, key, kind)
            checked[kind] += 1

    for event in reading.read(world, "website/events").rows:
        check("website.events", event["messageId"], "user_id", event.get("userId"))
        check("website.events", event["messageId"], "anonymous_id", event.get("anonymousId"))
    for event in reading.read(world, "app/events").rows:
        check("app.events", event["messageId"], "device_id", event["context"]["device"]["id"])
    for row in reading.read_shop(world, "customers"):
        check("shop.customers", row["customer_id"], "loyalty_card", row["loyalty_card_no"])
        check("shop.customers", row["customer_id"], "user_id", row["user_id"])
    for row in reading.read(world, "pos/receipts").rows:
        check("pos.receipts", row["receipt_no"], "loyalty_card", row["card_no"])
    for row in reading.read(world, "wechat_oa/followers").rows:
        check("wechat_oa.followers", row["openid"], "unionid", row["unionid"])
    for row in reading.read_parquet(world, "ads/clicks"):
        check("ads.clicks", row["click_id"], "anonymous_id", row["anonymous_id"])
    for row in reading.read(world, "crm/contacts").rows:
        check("crm.contacts", row["id"], "external_userid", row["wecom_external_userid"])
    assert all(
        checked[kind] > 10
        for kind in ("user_id", "anonymous_id", "device_id", "loyalty_card", "unionid", "external_userid")
    )


def test_a_world_is_only_replaced_by_a_world(tmp_path: Path, world: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "private.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="is not a demo world"):
        generate(10, 3, 1, tmp_path / "letters")
    assert (tmp_path / "letters" / "private.txt").read_text(encoding="utf-8") == "mine"
    shutil.copytree(world, tmp_path / "world")
    generate(12, 3, 1, tmp_path / "world")
    assert read_summary(tmp_path / "world").arguments.persons == 12
    assert not list((tmp_path / "world" / "sources").rglob("*-2026-02-*")), "nothing of the old one is left"


@pytest.mark.parametrize("wrong", [{"persons": 0}, {"days": 0}, {"days": 5_000}, {"seed": -1}, {"horizon": 0}])
def test_arguments_out_of_range_are_named(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(CdpError, match=f"--{next(iter(wrong))}"):
        generate(**{"persons": 10, "days": 3, "seed": 1, **wrong}, out=tmp_path / "world")
    assert list(tmp_path.iterdir()) == []


def test_one_person_on_one_day_is_a_world(tmp_path: Path) -> None:
    summary = generate(1, 1, 1, tmp_path / "world")
    assert summary.files == len([p for p in (tmp_path / "world" / "sources").rglob("*") if p.is_file()])


def test_advancing_what_is_no_world_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cdp world generate"):
        advance(tmp_path)
    (tmp_path / "world.json").write_text('{"format": 1', encoding="utf-8")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        advance(tmp_path)
