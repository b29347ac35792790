"""A declared model from the warehouse to predictions with reasons, and back when it is gone; with the tables dbt reads."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import numpy as np
import pytest

from cdp.errors import RunError
from cdp.settings import PROJECT_ROOT, Settings
from dbt_declarations.contracts import read_contracts
from predictions import service, store
from tests.predictions.identities import tell_apart

AS_OF = "2026-04-01T00:00:00"
NAME = "first_order_14d"
TYPES = {"text": "varchar", "integer": "bigint", "number": "double", "other": "varchar"}


def warehouse(persons: int) -> duckdb.DuckDBPyConnection:
    """Persons who look at products for 120 days from the first (so nobody has stopped by AS_OF, and how long somebody has
    been known says nothing); who adds something to the cart buys within ten days far more often than others."""
    con = duckdb.connect()
    con.execute("set TimeZone = 'UTC'; create schema profiles")
    contracts = read_contracts(PROJECT_ROOT / "dbt_project")
    for model in ("person", "person_event", "person_order", "person_stage_change"):
        columns = ", ".join(f'"{c.name}" {TYPES.get(c.type, c.type)}' for c in contracts[model].columns.values())
        con.execute(f"create table profiles.{model} ({columns})")
    con.execute(
        f"insert into profiles.person by name select 'p' || i as person_id, timestamp '2025-12-01' + to_days((hash(i, 1) % 90)::int) as first_seen_at"
        f" from range({persons}) t(i); create table profiles.audience as select person_id from profiles.person"
    )
    con.execute(
        "insert into profiles.person_event by name with e as (select person_id, i, first_seen_at"
        " + to_seconds((hash(person_id, i, 2) % (120 * 86400))::bigint) as occurred_at, hash(person_id, i, 3) % 100 as draw"
        " from profiles.person, range(24) t(i)) select person_id, person_id || '/' || i as event_key,"
        " case when draw < 8 then 'Product Added' when draw < 60 then 'Product Viewed' else 'Page Viewed' end as event_name,"
        " occurred_at, occurred_at as received_at, case when draw % 3 = 0 then 'app' else 'web' end as channel, 'web' as source from e"
    )
    con.execute(
        "insert into profiles.person_order by name select person_id, event_key as order_key,"
        " occurred_at + to_days((hash(event_key, 6) % 10)::int)"
        " as ordered_at, 'web' as channel, 10.0 as gross_value, 10.0 as net_value, true as is_revenue, 'paid' as status"
        " from profiles.person_event where event_name = 'Product Added' and hash(event_key, 4) % 10 < 8"
        " or hash(event_key, 5) % 200 = 0"
    )
    con.execute("delete from profiles.person_event where occurred_at > timestamp '2026-04-01'")
    con.execute("delete from profiles.person_order where ordered_at > timestamp '2026-04-01'")
    # nobody became one with somebody: each person has one identifier
    con.execute("update profiles.person_event set sequence = hash(event_key)::hugeint % 1000000000000")
    con.execute("update profiles.person_order set sequence = 1000000000000 + hash(order_key)::hugeint % 1000000000000")
    tell_apart(con, [])
    con.execute(
        "insert into identity.identity_person select hash(person_id)::hugeint % 1000000000000, person_id from profiles.person;"
        " insert into identity.record_person select sequence, sequence, person_id from"
        " (select sequence, person_id from profiles.person_event union all select sequence, person_id from profiles.person_order);"
        " insert into identity.record_identifier select record_key, identifier_key from identity.record_person inner join"
        " identity.identity_person using (person_id);"
        " insert into conformed.identifier_observation select record_key, record_key, null, identifier_key from identity.record_identifier"
    )
    return con


def settings(folder: Path) -> Settings:
    return Settings(project_root=PROJECT_ROOT, data_dir=folder, _env_file=None)


def test_a_model_from_training_to_reasons(tmp_path: Path) -> None:
    ours, con = settings(tmp_path), warehouse(2000)
    with pytest.raises(RunError, match="has not been trained yet"):
        service.score(con, NAME, ours, AS_OF)
    done = service.train(con, NAME, ours, AS_OF)
    assert done.report.held_out is not None
    assert done.report.held_out.auc is not None and done.report.held_out.auc > 0.6
    # what makes people buy in this warehouse leads, and far: nothing else here says anything of the future
    importance = done.report.importance
    others = max(v for f, v in importance.items() if f not in ("cart_adds_14d", "days_since_cart"))
    assert max(importance["cart_adds_14d"], importance["days_since_cart"]) > 1.5 * others, importance
    assert service.train(con, NAME, ours, AS_OF).version == done.version, "the same rows give the same version"
    again = service.evaluate(con, NAME, ours, AS_OF)
    assert again.unseen and again.measures == done.report.held_out

    scored = service.score(con, NAME, ours, AS_OF)
    first = con.execute("select * from predictions.prediction order by all").fetchall()
    reasons = con.execute("select * from predictions.prediction_reason order by all").fetchall()
    assert scored == len(first) > 100
    # the population: never bought, and seen in the last 30 days
    expected = con.execute(
        "select count(*) from profiles.person p where not exists (from profiles.person_order o where o.person_id = p.person_id)"
        " and exists (from profiles.person_event e where e.person_id = p.person_id and e.occurred_at > timestamp '2026-03-02')"
    ).fetchone()
    assert expected == (scored,)
    # and in the right direction: a cart of the last ten days makes an order at least twice as likely
    likely = con.execute(
        "select avg(probability) filter (carts.person_id is not null) / avg(probability) filter (carts.person_id is null)"
        " from predictions.prediction left join (select distinct person_id from profiles.person_event where event_name ="
        " 'Product Added' and occurred_at > timestamp '2026-03-22') as carts on carts.person_id = prediction.entity_id"
    ).fetchall()
    assert likely[0][0] > 2
    assert {r[0] for r in reasons} <= {p[0] for p in first}
    assert max(r[3] for r in reasons) <= 5
    service.score(con, NAME, ours, AS_OF)
    assert con.execute("select * from predictions.prediction order by all").fetchall() == first
    assert con.execute("select * from predictions.prediction_reason order by all").fetchall() == reasons

    con.execute("insert into predictions.prediction (entity_id, model, probability) values ('p1', 'gone', 0.5)")
    said = service.score_all(con, ours, AS_OF)
    assert said[NAME] == scored
    assert "not trained yet" in str(said["no_order_30d"])
    assert con.execute("select distinct model from predictions.prediction").fetchall() == [(NAME,)]


def test_a_small_company_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="too little to learn from"):
        service.train(warehouse(60), NAME, settings(tmp_path), AS_OF)
    assert not (tmp_path / "models").exists()


def test_dbt_and_the_scorer_make_the_same_tables() -> None:
    """Whoever comes first makes them; another column in one of the two would break the other."""
    text = (PROJECT_ROOT / "dbt_project" / "macros" / "predictions" / "prediction_tables.sql").read_text()
    body = re.search(r"-%}(.*)\{%- endmacro", text, re.DOTALL)
    assert body
    found = []
    for make in (lambda c: c.execute(body[1]), store.prepare):
        con = duckdb.connect()
        make(con)
        found.append(
            con.execute(
                "select table_name, column_name, data_type, column_index from duckdb_columns() where schema_name = 'predictions' order by all"
            ).fetchall()
        )
    assert found[0] == found[1]
    assert len(found[0]) == len(store.PREDICTION) + len(store.PREDICTION_REASON)


def test_predictions_are_rounded_so_that_last_bits_are_no_news() -> None:
    import pyarrow as pa

    rows = store.prediction_rows(
        pa.chunked_array([["a"]]), grain="person", model="m", version="v", as_of=AS_OF, probability=np.array([1 / 3])
    )
    assert rows["probability"].to_pylist() == [0.333333]
