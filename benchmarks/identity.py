"""The identity engine on a made graph: against scipy on ready integers (the floor) and Splink's clustering, all in one call.

    python -m benchmarks.identity [--persons 1000000] [--times 5]

One person has 1 to 4 cookies, mostly an e-mail, a phone and an openid, tied in a chain; 3 in 100 hand a device to the next one:
a million persons make about 4.1 million edges and 4.8 million identifiers. Each part is a process of its own with two threads.
`engine`: the models from hashed observations to `identity_person`; `landing`: reading strings, normalising, checking, hashing, and
keeping them; `from_strings`: both; `answer`: the sorted Parquet files of `cdp identity resolve`, which the floor has no like of. The floor reads the same
graph as 64-bit integers from Parquet and writes components to Parquet; Splink gets tables that are loaded already. Times of dbt's and Python's start are in
none. One percent is added to a state with 99, and compared with what the engine took for those, on the same disk.

`..._seconds` are by the clock, `..._processor_seconds` what the cores did, which other work on the machine moves less. That of `from_strings` is dbt's process
less one that resolves a single record, times the share of the models that count in the clock of all. Prints JSON. A smoke of seconds: --persons 3000 --times 2.
At the sizes it has by default it takes about a quarter of an hour on two cores without other work; --times 1 takes half of that.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

THREADS = 2
GRAPH = """
create table person as select i as p, 1 + (hash(i, 'cookies') % 4)::int as cookies, hash(i, 'mail') % 100 < 80 as has_email,
    hash(i, 'phone') % 100 < 80 as has_phone, hash(i, 'openid') % 100 < 70 as has_openid, hash(i, 'chain') % 100 < 3 as hands_over
from range($persons) as t(i);
create table piece as
select p, 0 as n, 'email' as t, 'person' || p || '@example.com' as v from person where has_email
union all select p, 1, 'phone', '+861' || lpad(p::varchar, 10, '0') from person where has_phone
union all select p, 2, 'wechat_openid', 'o' || substr(md5('openid' || p), 1, 27) from person where has_openid
union all select p, 2 + j, 'anonymous_id', md5(p || '/' || j) from person, range(1, 5) as r(j) where j <= cookies;
create table pair as
with linked as (select p, n, t, v, lag(t) over w as t0, lag(v) over w as v0 from piece window w as (partition by p order by n))
select p, n, t, v, t0, v0 from linked where t0 is not null and hash(p, n, 'tied') % 1000 < 973
union all select p, 60 + n, t, v, t0, v0 from linked where t0 is not null and hash(p, n, 'again') % 100 < 1
union all select a.p, 50, a.t, a.v, b.t, b.v from piece as a inner join piece as b on b.p = a.p + 1 and a.n = 3 and b.n = 3
    inner join person on a.p = person.p where hands_over;
-- the second openid: breaks a limit in 1 component of 100
insert into pair select p, 70, 'wechat_openid', 'o2' || substr(md5('second' || p), 1, 26), t, v from piece
    where n = 3 and $second and hash(p, 'second') % 100 < 1;
create table numbered as select row_number() over (order by hash(p, n, 'order'), p, n) as s, * from pair;
"""
OBSERVATIONS = """select 'r' || s as record_id, s as sequence, unnest([t, t0]) as identifier_type, unnest([v, v0]) as identifier_value
    from numbered where s $condition order by s, identifier_type, identifier_value"""
RULES = "name,priority,tier,max_per_person\nemail,1,2,\nphone,2,2,\nwechat_openid,3,1,{most}\nanonymous_id,4,3,\n"
ENGINE = ("identity_reopened", "observation_reopened", "int_identity__fan_out", "identifier", "record_identifier", "identity_edge", "identity_component",
          "identity_replay", "identity_person")  # fmt: skip
REST = ("record_person", "identity_rule_applied", "identity_processed")


def main() -> None:
    """Make graphs, run the parts, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--persons", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=5, help="size of the large graph; 1 leaves it out")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(PARTS[options.part[0]](Path(options.part[1]))))
        return
    with tempfile.TemporaryDirectory(prefix="cdp-bench-") as name:
        folder = Path(name)
        figures = _measure(folder / "one", options.persons)
        if options.times > 1:
            large = _measure(folder / "large", options.persons * options.times, only_engine=True)
            figures["times"] = options.times
            figures["large"] = large
            for part in ("engine", "from_strings", "from_strings_processor"):
                figures[f"large_{part}_over_one"] = round(large[f"{part}_seconds"] / figures[f"{part}_seconds"], 2)
        print(json.dumps(figures, indent=2))


def _measure(folder: Path, persons: int, *, only_engine: bool = False) -> dict[str, Any]:
    folder.mkdir()
    edges = _write(folder, persons, only_engine=only_engine)
    found = {name: _part(name, folder) for name in (["full"] if only_engine else COMPARED)}
    full = found["full"]
    whole = full["engine"] + full["landing"]
    start = _part("start", folder)["processor"]

    def share(of: dict[str, Any], seconds: float) -> float:
        """Processor time of the models that took so many seconds of a call."""
        return round(
            (of["processor"] - start) * seconds / (of["engine"] + of["landing"] + of["rest"] + of["answer"]), 2
        )

    processor = share(full, whole)
    figures = {
        "persons": persons,
        "edges": edges,
        "identifiers": full["identifiers"],
        "found_persons": full["persons"],
        "engine_seconds": full["engine"],
        "landing_seconds": full["landing"],
        "from_strings_seconds": round(whole, 2),
        "from_strings_processor_seconds": processor,
        "start_processor_seconds": start,
        "engine_processor_seconds": share(full, full["engine"]),
        "records_and_state_seconds": full["rest"],
        "answer_seconds": full["answer"],
        "by_model": full["by_model"],
        "peak_memory_gb": full["memory_gb"],
    }
    if only_engine:
        return figures
    floor, splink, more, limited = (found[name] for name in ("floor", "splink", "increment", "limited"))
    assert floor["components"] == splink["components"] == full["persons"], found
    assert limited["refusals"] > 0, limited
    return figures | {
        "floor_seconds": floor["seconds"],
        "floor_processor_seconds": floor["processor"],
        "splink_seconds": splink["seconds"],
        "splink_processor_seconds": splink["processor"],
        "splink_over_engine": round(splink["seconds"] / full["engine"], 2),
        "engine_over_floor": round(full["engine"] / floor["seconds"], 2),
        "splink_over_from_strings": round(splink["seconds"] / figures["from_strings_seconds"], 2),
        "from_strings_over_floor": round(figures["from_strings_seconds"] / floor["seconds"], 2),
        "splink_over_from_strings_processor": round(splink["processor"] / processor, 2),
        "from_strings_over_floor_processor": round(processor / floor["processor"], 2),
        "increment_of_1_percent_seconds": more["engine"],
        "increment_over_engine": round(more["engine"] / more["before"]["engine"], 3),
        "increment_over_engine_processor": round(
            share(more, more["engine"]) / share(more["before"], more["before"]["engine"]), 3
        ),
        "limited_over_engine": round(limited["engine"] / full["engine"], 3),
        "limited_over_engine_processor": round(share(limited, limited["engine"]) / share(full, full["engine"]), 3),
        "refusals_when_limited": limited["refusals"],
    }


def _part(name: str, folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.identity", "--part", name, str(folder)],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _write(folder: Path, persons: int, *, only_engine: bool = False) -> int:
    import duckdb

    edges = 0
    for name, second in (("plain", False),) if only_engine else (("plain", False), ("limited", True)):
        with duckdb.connect(config={"threads": THREADS}) as con:
            for statement in GRAPH.replace("$persons", str(persons)).replace("$second", str(second)).split(";\n"):
                if statement.strip():
                    con.execute(statement)
            count = int(con.execute("select count(*) from numbered").fetchall()[0][0])
            parts = {"all": ">= 0"}
            if not (second or only_engine):
                parts |= {"first": f"<= {count * 99 // 100}", "rest": f"> {count * 99 // 100}"}
            for part, condition in parts.items():
                query = OBSERVATIONS.replace("$condition", condition)
                con.execute(f"copy ({query}) to '{folder / f'{name}-{part}.parquet'}' (format parquet)")
            if not second:
                edges = count
                key = "(md5_number({0} || ':' || {1}) >> 65)::bigint"
                con.execute(
                    f"copy (select {key.format('t', 'v')} as l, {key.format('t0', 'v0')} as r from numbered)"
                    f" to '{folder / 'integers.parquet'}' (format parquet)"
                )
        rules = folder / f"rules-{name}"
        rules.mkdir()
        (rules / "identifier_types.csv").write_text(RULES.format(most=1 if second else ""), encoding="utf-8")
    return edges


def _resolve(folder: Path, name: str, part: str, state: str | None = None) -> dict[str, Any]:
    from cdp.identity.resolve import resolve
    from cdp.settings import Settings
    from dbt_declarations.sources import pattern_macros

    before = _processor(resource.RUSAGE_CHILDREN)
    settings = Settings(threads=THREADS, data_dir=folder / "data", _env_file=None)
    kept = folder / state if state else None
    found = resolve(folder / f"{name}-{part}.parquet", folder / f"rules-{name}", folder / "out", kept, settings, pattern_macros)  # fmt: skip
    return {
        "engine": round(sum(found.seconds[m] for m in ENGINE), 2),
        "landing": round(found.seconds["identifier_observation"], 2),
        "rest": round(sum(found.seconds[m] for m in REST), 2),
        "answer": round(sum(s for m, s in found.seconds.items() if m.startswith("answer_")), 2),
        "by_model": {m: found.seconds[m] for m in ENGINE},
        "identifiers": found.identifiers,
        "persons": found.persons,
        "refusals": found.refusals,
        "processor": round(_processor(resource.RUSAGE_CHILDREN) - before, 2),
        "memory_gb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2, 2),
    }


def _processor(whose: int) -> float:
    """Seconds of processor time of this process or its children so far."""
    used = resource.getrusage(whose)
    return round(used.ru_utime + used.ru_stime, 2)


def _start(folder: Path) -> dict[str, Any]:
    """One record: what dbt costs before it has anything to do."""
    import duckdb

    with duckdb.connect() as con:
        con.execute(
            f"copy (select * from '{folder / 'plain-all.parquet'}' limit 1) to '{folder / 'plain-one.parquet'}' (format parquet)"
        )
    return _resolve(folder, "plain", "one")


def _full(folder: Path) -> dict[str, Any]:
    return _resolve(folder, "plain", "all")


def _limited(folder: Path) -> dict[str, Any]:
    return _resolve(folder, "limited", "all")


def _increment(folder: Path) -> dict[str, Any]:
    """99 of 100 records, then the last one; the answer is that of all at once, which `_full` left."""
    answer = folder / "out" / "person_identifier.parquet"
    once = answer.read_bytes()
    before = _resolve(folder, "plain", "first", "state")
    os.sync()  # what the first call wrote is on the disk before the second one waits for its own
    found = _resolve(folder, "plain", "rest", "state")
    assert answer.read_bytes() == once, "the increment gave another answer"
    return found | {"before": before}


def _floor(folder: Path) -> dict[str, Any]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    started, before = time.perf_counter(), _processor(resource.RUSAGE_SELF)
    table = pq.read_table(folder / "integers.parquet")
    keys = np.concatenate([table["l"].to_numpy(), table["r"].to_numpy()])
    nodes, codes = np.unique(keys, return_inverse=True)
    half = len(codes) // 2
    graph = coo_matrix((np.ones(half, dtype=np.int8), (codes[:half], codes[half:])), shape=(len(nodes), len(nodes)))
    components, labels = connected_components(graph, directed=False)
    pq.write_table(pa.table({"key": nodes, "component": labels}), folder / "floor.parquet")
    return {
        "seconds": round(time.perf_counter() - started, 2),
        "processor": round(_processor(resource.RUSAGE_SELF) - before, 2),
        "components": int(components),
    }


def _splink(folder: Path) -> dict[str, Any]:
    import duckdb
    from splink import DuckDBAPI
    from splink.clustering import cluster_pairwise_predictions_at_threshold

    con = duckdb.connect(config={"threads": THREADS})
    con.execute(
        f"create table edges as select identifier_type || ':' || identifier_value as one, lead(identifier_type || ':' || identifier_value)"
        f" over (partition by record_id order by identifier_type, identifier_value) as other from '{folder / 'plain-all.parquet'}'"
    )
    con.execute("delete from edges where other is null")
    con.execute("create table nodes as select one as id from edges union select other from edges")
    api = DuckDBAPI(connection=con)
    nodes, edges = (api.register(con.table(name)) for name in ("nodes", "edges"))
    started, before = time.perf_counter(), _processor(resource.RUSAGE_SELF)
    found = cluster_pairwise_predictions_at_threshold(nodes, edges, api, "id", "one", "other")
    seconds, processor = round(time.perf_counter() - started, 2), round(_processor(resource.RUSAGE_SELF) - before, 2)
    count = con.execute(f"select count(distinct cluster_id) from {found.physical_name}").fetchall()[0][0]
    return {"seconds": seconds, "processor": processor, "components": int(count)}


COMPARED = {"floor": _floor, "splink": _splink, "full": _full, "increment": _increment, "limited": _limited}
PARTS = {**COMPARED, "start": _start}

if __name__ == "__main__":
    main()
