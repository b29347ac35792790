"""A small matching model and invented records for it."""

from __future__ import annotations

import random
from pathlib import Path

import duckdb

SMALL = """
name: small
description: Invented persons.
owner: data@lumen.example
columns:
  first_name: {from: first_name, clean: [lower]}
  last_name: {from: last_name, clean: [lower]}
  born_on: {from: born_on, clean: [date]}
  city: {from: city, clean: [lower], empty: [unknown]}
comparisons:
  - {type: text, column: first_name}
  - {type: text, column: last_name}
  - {type: text, column: born_on, similarity: levenshtein, at: [1]}
  - {type: exact, column: city, term_frequency: true}
block_on: [[last_name], [born_on], [first_name, city]]
training:
  prior: {rules: [[first_name, last_name, born_on]], recall: 0.6}
  blocks: [[born_on], [last_name]]
accept: 0.9
keep: 0.0001
"""


def persons(seed: int, count: int = 120) -> list[dict[str, str | None]]:
    """Records of invented persons, one to three each, with misspelt and missing values."""
    print(f"seed {seed}")
    dice = random.Random(seed)
    firsts = ["Ada", "Berta", "Carla", "Dora", "Emil", "Felix", "Gustav", "Hanna", "Ida", "Jakob", "Klara", "Ludwig"]
    lasts = ["Schmidt", "Keller", "Vogel", "Brandt", "Winter", "Sommer", "Lorenz", "Bauer", "Kraus", "Peters", "Haas"]
    records: list[dict[str, str | None]] = []
    for number in range(count):
        person: dict[str, str | None] = {
            "person": str(number),
            "first_name": dice.choice(firsts),
            "last_name": dice.choice(lasts) + dice.choice(["", "mann", "er"]),
            "born_on": f"{dice.randint(1940, 2005)}-{dice.randint(1, 12):02}-{dice.randint(1, 28):02}",
            "city": dice.choice(["Bonn", "Mainz", "Trier", "unknown"]),
        }
        for _ in range(dice.choice([1, 2, 2, 3])):
            copy = dict(person)
            if dice.random() < 0.25:
                name = str(copy["last_name"])
                at = dice.randrange(1, len(name))
                copy["last_name"] = name[:at] + dice.choice("aeinrst") + name[at + 1 :]
            for key in ("first_name", "born_on", "city"):
                if dice.random() < 0.07:
                    copy[key] = None
            records.append({"record_id": f"r{len(records):04}", **copy})
    return records


def written(records: list[dict[str, str | None]], path: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(records), path)
    return path


def rows(path: Path, sql: str = "*") -> list[dict[str, object]]:
    con = duckdb.connect()
    found = con.execute(f"select {sql} from read_parquet('{path}')")
    names = [d[0] for d in found.description or []]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
