"""Tags and segments computed together, against one table for each; and the compiler itself.

    python -m benchmarks.declarations --persons 1000000 --events 20000000

200 tags (100 of the profile and by rule, 100 windowed aggregates over 20 kinds of events) and 100 segments, histories included.
The baseline writes each tag and segment with the best single query: its filter pushed down, reading only what it needs. Both run
in this process on 2 threads and end with all of it on the disk; `processor` is the time that counts on a machine that does other work.
Then twice 1 % more events arrive, each within ten minutes; the second of these runs is the usual one.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from cdp.settings import get_settings
from dbt_declarations.ask import Warehouse, count
from dbt_declarations.contracts import Column, column_type
from dbt_declarations.scope import Scope
from dbt_declarations.writer import input_digest, refresh
from tests.declarations.runs import History, run
from tests.declarations.scratch import AS_OF, CONTRACTS, compiled, settings, warehouse, write, write_contracts

LATER = ("2026-03-01 00:10:00", "2026-03-01 00:20:00")  # as_of of the runs with more events
WINDOWS = (7, 30, 90, 180, 365)
KINDS = 20
# aggregate, of, and the same as SQL over the facts that count
AGGREGATES = (
    ("count", None, "count(*)"),
    ("sum", "value", "cast(sum(try_cast(value as decimal(38, 6))) as double)"),
    ("max", "value", "max(value)"),
    ("last", "channel", "arg_max(channel, row(occurred_at, hash(event_key))) filter (where channel <> '')"),
    ("days_since", None, f"date_sub('day', max(occurred_at), timestamp '{AS_OF}')"),
)
CITIES = ("Berlin", "Paris", "Shanghai", "Lyon")


def traits() -> dict[str, tuple[str, str]]:
    """Windowed aggregates by name: YAML, and the best single query."""
    found = {}
    for n in range(100):
        kind, window, (aggregate, of, sql) = n % KINDS, WINDOWS[n // KINDS % 5], AGGREGATES[(n + n // KINDS) % 5]
        where = f"event_name = 'Event {kind}'"
        text = f"type: statistical\nover: event\naggregate: {aggregate}\nwhere: {where}\nwindow_days: {window}\n"
        text += f"of: {of}\n" if of else ""
        query = (
            f"select person_id, {sql} as value, max(occurred_at) as since_at from person_event where {where}"
            f" and occurred_at <= timestamp '{AS_OF}' and occurred_at > timestamp '{AS_OF}' - to_days({window}) group by 1"
        )
        found[f"trait_{n:03}"] = (text, query)
    return found


def rules() -> dict[str, tuple[str, str]]:
    """Attributes and rules over the profile, every second one over a trait, too: YAML, and the best single query."""
    found = {}
    for n in range(100):
        city, least = CITIES[n % 4], n % 6
        if n % 5 == 0:
            found[f"rule_{n:03}"] = (
                f"type: attribute\nvalue: \"case when city = '{city}' then 'home' when identifier_count > {least} then 'known' end\"\n",
                f"select person_id, case when city = '{city}' then 'home' when identifier_count > {least} then 'known' end as value,"
                " last_seen_at as since_at from person where value is not null",
            )
            continue
        condition = (
            f"city = '{city}' and identifier_count > {least}" if n % 2 else f"identifier_count > {least} and can_email"
        )
        number = n - n % 20
        trait = f"trait_{number:03}" if n % 2 == 0 else None
        # who has no fact has 0 of what is counted or summed, and nothing of all else
        known = "<> 0" if AGGREGATES[(number + number // KINDS) % 5][0] in ("count", "sum") else "is not null"
        text = condition + (f" and {trait} {known}" if trait else "")
        joined = (
            f" inner join (select person_id from t_{trait} where value {known}) as t using (person_id)" if trait else ""
        )
        found[f"rule_{n:03}"] = (
            f'type: rule\nwhen: "{text}"\n',
            f"select person_id, true as value, last_seen_at as since_at from person{joined} where {condition}",
        )
    return found


def segments() -> dict[str, tuple[str, str]]:
    """Segments over a rule and a trait: YAML, and the best single query."""
    found = {}
    for n in range(100):
        rule, trait, city = f"rule_{n // 5 * 5 + 1:03}", f"trait_{n % 40 // 20 * 20:03}", CITIES[n % 4]
        found[f"segment_{n:03}"] = (
            f"where: \"{rule} or ({trait} > 2 and city = '{city}')\"\n",
            f"select person_id from person left join t_{rule} as r using (person_id) left join t_{trait} as t using (person_id)"
            f" where r.value or (t.value > 2 and city = '{city}')",
        )
    return found


def fill(con: duckdb.DuckDBPyConnection, persons: int, events: int) -> None:
    """Persons and their events of 400 days; a few persons do much, most do little, in visits of about five events. What follows from
    the other columns is written down, as models/profiles/person.sql and person_event.sql do it."""
    for table, follows in (("person", ""), ("person_event", ", row_digest ubigint")):
        listed = ", ".join(f"{n} {t}" for n, t in CONTRACTS[table].items())
        con.execute(f"create or replace table {table} ({listed}, person_number ubigint{follows})")
    con.execute(
        "insert into person by name select person_id, cast(md5_number(person_id) >> 64 as ubigint) as person_number,"
        " ['Berlin', 'Paris', 'Shanghai', 'Lyon'][(hash(i) % 4)::bigint + 1] as city, (hash(i, 1) % 6)::bigint as identifier_count,"
        " hash(i, 2) % 2 = 0 as can_email, false as is_test, false as is_bot, timestamp '2026-02-01' as last_seen_at"
        f" from (select i, 'p_' || md5(i::varchar) as person_id from range({persons}) t(i))"
    )
    visits(con, persons, 0, events, "timestamp '2026-03-01' - to_seconds((hash(visit, 3) % 34560000)::bigint)")


def visits(con: duckdb.DuckDBPyConnection, persons: int, first: int, count: int, begins: str) -> None:
    """Insert events, five a visit."""
    con.execute(
        f"""
        insert into person_event by name
        select *, cast(md5_number(person_id) >> 64 as ubigint) as person_number,
            hash(person_id, event_key, event_name, occurred_at, value, channel) as row_digest
        from (select 'p_' || md5((pow((hash(visit) % 1000000) / 1000000.0, 1.5) * ({persons} - 1))::bigint::varchar) as person_id,
            'e' || i as event_key, 'Event ' || (hash(i, 2) % {KINDS}) as event_name,
            {begins} + to_seconds(i % 5 * 60) as occurred_at, (hash(i, 4) % 1000) / 10.0 as value,
            ['web', 'app', 'store'][(hash(i, 5) % 3)::bigint + 1] as channel
            from (select i, i // 5 as visit from range({first}, {first + count}) t(i)))
        order by occurred_at
        """
    )


def together(con: duckdb.DuckDBPyConnection, models: dict[str, str], as_of: str) -> None:
    """All generated models, what is kept of them from run to run, and both histories."""
    History(con, "models/profiles/person_number.sql").run(as_of)
    run(con, models, as_of)
    for kind in ("tags", "segments"):
        for model in ("begun", "begun_layout", "stays"):
            History(con, f"models/{kind}/int_{kind}__{model}.sql").run(as_of)
    con.execute("checkpoint")


def apart(con: duckdb.DuckDBPyConnection, queries: dict[str, str]) -> None:
    """A table and a history for each."""
    for name, query in queries.items():
        con.execute(f"create or replace table t_{name} as {query}")
        value = ", value" if not name.startswith("segment") else ""
        con.execute(
            f"create or replace table h_{name} as select person_id{value}, timestamp '{AS_OF}' as assigned_at,"
            f" cast(null as timestamp) as removed_at from t_{name}"
        )
    con.execute("checkpoint")


def _rows(names: Iterable[str]) -> str:
    """How many rows the histories of these have, one table each."""
    return " + ".join(f"(select count(*) from h_{name})" for name in names)


def counted(con: duckdb.DuckDBPyConnection) -> dict[str, float]:
    """An unsaved condition over two tags and the profile, counted as `cdp segment count --where` does."""

    def columns(table: str) -> dict[str, Column]:
        found = con.execute(
            "select column_name, data_type from duckdb_columns() where table_name = ?", [table]
        ).fetchall()
        return {n: Column(n, column_type(t)) for n, t in found if n != "person_id"}

    scope = Scope({"person": columns("person"), "tag": columns("person_tags")})
    tables = {name: f'"{name}"' for name in ("person", "person_tags", "audience")}
    asked = Warehouse(con, AS_OF, scope, tables)
    return timed(lambda: count(asked, "trait_000 > 3 and city = 'Berlin' or rule_001"))


def _say(step: str) -> None:
    """What begins, for who waits."""
    print(f"{time.strftime('%H:%M:%S')} {step}", file=sys.stderr, flush=True)


def timed(work: Callable[[], Any]) -> dict[str, float]:
    """Seconds on the clock and of the processor."""
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"clock": round(time.monotonic() - started, 2), "processor": round(processor, 2)}


def compiling(folder: Path) -> dict[str, Any]:
    """500 declarations compiled anew, and looked at again when nothing has changed."""
    write_contracts(folder / "dbt_project")
    for n in range(300):
        text = f"type: rule\nwhen: identifier_count > {n % 9} and city <> 'Rome' or email_domain in ('a.example', 'b{n}.example')\n"
        if n % 2:
            where = f"where: event_name = 'Event {n % KINDS}'"
            text = f"type: statistical\nover: event\naggregate: count\n{where}\nwindow_days: {n + 1}\n"
        write(folder / "dbt_project", f"tags/tag_{n:03}.yml", text)
    for n in range(200):
        used = f"tag_{n // 2 * 2:03} and tag_{n // 2 * 2 + 1:03} > {n % 5}"
        write(folder / "dbt_project", f"segments/segment_{n:03}.yml", f"where: {used}\nexclude: city = 'Rome'\n")
    own = settings(folder)
    new = timed(lambda: refresh(own, lambda s: _as_files(s.dbt_dir)))
    return {
        "new": new,
        "unchanged": timed(lambda: refresh(own, lambda s: _as_files(s.dbt_dir))),
        "real_project_digest": timed(lambda: input_digest(get_settings())),
    }


def _as_files(dbt_dir: Path) -> dict[Path, str]:
    from dbt_declarations.compiler import compile_project
    from dbt_declarations.project import load_project

    return compile_project(load_project(dbt_dir))


def measure(persons: int, events: int, folder: Path, memory: str) -> dict[str, Any]:
    """All figures."""
    write_contracts(folder)
    declared = {"tags": {**traits(), **rules()}, "segments": segments()}
    for kind, entries in declared.items():
        for name, (text, _) in entries.items():
            write(folder, f"{kind}/{name}.yml", text)
    models = compiled(folder)
    con = warehouse(2, folder / "w.duckdb")
    con.execute(f"set memory_limit = '{memory}'")
    # as dbt_project/profiles.yml has it
    con.execute("set preserve_insertion_order = false; set checkpoint_threshold = '256MB'")
    con.execute("create table person_identifier (person_id varchar, identifier_type varchar, identifier_value varchar)")
    _say("persons and events")
    fill(con, persons, events)
    _say("together")
    ours = timed(lambda: together(con, models, AS_OF))
    _say("one table each")
    theirs = timed(lambda: apart(con, {n: q for entries in declared.values() for n, (_, q) in entries.items()}))
    for path in ("tags/tag_history", "segments/segment_membership"):
        History(con, f"models/{path}.sql").run(AS_OF)
    same = con.execute(
        f"select ({_rows(declared['segments'])}) = (select count(*) from segment_membership) and"
        f" ({_rows(n for n in declared['tags'] if n.startswith('rule'))}) = (select count(*) from tag_history where tag like 'rule%')"
        " and (select count(*) from int_segments__members where segment = 'segment_007') = (select count(*) from t_segment_007)"
        " and (select count(*) from person_tags where rule_042) = (select count(*) from t_rule_042)"
        " and (select round(sum(trait_021), 3) from person_tags) is not distinct from (select round(sum(value), 3) from t_trait_021)"
    ).fetchall()
    # the baseline's hundreds of tables would fill the memory, and each checkpoint would write them down again
    for name in (n for entries in declared.values() for n in entries):
        con.execute(f"drop table t_{name}; drop table h_{name}")
    con.execute("checkpoint")
    more = []
    for n, (begins, ends) in enumerate(zip((AS_OF, *LATER), LATER, strict=False)):
        new = f"timestamp '{begins}' + to_seconds((hash(visit, 3) % 300)::bigint)"
        visits(con, persons, events + n * (events // 100), events // 100, new)
        _say(f"{n + 1} % more")
        more.append(timed(partial(together, con, models, ends)))
        written = con.execute(
            "select count(*) from int_tags__person_tagged where written_at = ?::timestamp", [ends]
        ).fetchall()
    return {
        "persons": persons,
        "events": events,
        "tags": len(declared["tags"]),
        "segments": len(declared["segments"]),
        "assignments": con.execute("select count(*) from int_tags__tags_unpivoted").fetchall()[0][0],
        "together": ours,
        "one_table_each": theirs,
        "times_faster": {k: round(theirs[k] / ours[k], 2) for k in ours},
        "same_results": bool(same[0][0]),
        "count_of_an_unsaved_condition": counted(con),
        "one_percent_more_events": more,
        "persons_written_again": written[0][0],
        "one_percent_over_full": {k: round(more[-1][k] / ours[k], 2) for k in ours},
        "compiling_500": compiling(folder / "compiling"),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2, 2),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--persons", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--memory", default="5GB")
    given = parser.parse_args()
    assert "person" in CONTRACTS
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(given.persons, given.events, Path(folder), given.memory), indent=2))


if __name__ == "__main__":
    main()
