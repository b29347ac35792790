"""Files as they come: whatever is wrong with them, each row lands or is set aside, and the reason says why."""

from __future__ import annotations

import gzip
import json
from collections import Counter

import duckdb
import pytest

from tests.ingest.conftest import Project

CSV = """
tables:
  rows:
    description: Rows.
    files: "*.csv*"
    format: csv
    encoding: %s
    required: [id]
    columns: {id: bigint, name: text}
"""
JSON = """
tables:
  rows:
    description: Rows.
    files: "*.jsonl*"
    format: jsonl
    required: [id]
    columns: {id: bigint, name: text}
"""


def test_dirty_csv(project: Project) -> None:
    """One file each; a bad file or row leaves the others alone."""
    source = project.declare("dirt", CSV % "utf-8")
    good = "id,name\n1,Zoë\n2,李雷\n"
    files: dict[str, bytes] = {
        "bom.csv": b"\xef\xbb\xbf" + good.encode(),
        "crlf.csv": good.replace("\n", "\r\n").encode(),
        "semicolon.csv": good.replace(",", ";").encode(),
        "tab.csv": good.replace(",", "\t").encode(),
        "no-end.csv": good.encode()[:-1],
        "quotes.csv": b'id,name\n1,"a ""b"" c, d"\n2,"two\nlines"\n3,5" lamp\n',
        "empty.csv": b"",
        "blank.csv": b"\n \n\n",
        "header.csv": b"id,name\n",
        "half-header.csv": b"id,na",
        "blank-lines.csv": b"\n\nid,name\n\n1,a\n\n\n2,b\n",
        "nul.csv": b"id,name\n1,a\x00b\n",
        "same-names.csv": b"id,name,name,Name,,\n1,a,b,c,d,e\n",
        "long.csv": b"id,name\n1," + b"x" * 20_000_000 + b"\n2,b\n",
        "packed.csv.gz": gzip.compress(good.encode()),
        # from here on something is to be set aside
        "short.csv": b"id,name\n1,a\n2\n3,c,x\n4,d\n",
        "open-quote.csv": b'id,name\n1,"never closed\n2,b\n3,c\n',
        "stray-quote.csv": b'id,name\n1,"a" b\n2,b\n',
        "not-utf8.csv": b"id,name\n1,a\n2,Zo\xeb\n3,c\n",
        "type.csv": b"id,name\n1.5,a\n,b\n4,d\n",
        "other.csv": b"foo,bar\n1,2\n",
        "cut.csv.gz": gzip.compress(good.encode() * 1000)[:-40],
        "utf16.csv": good.encode("utf-16"),
        "too-wide.csv": (",".join(["id", *(f"w{n}" for n in range(4000))]) + "\n1" + ",x" * 4000 + "\n").encode(),
        "too-long.csv": b"id,name\n1," + b"x" * 40_000_000 + b"\n2,b\n",
    }
    for name, content in files.items():
        project.drop(name, content)
    loaded = project.load(source)
    landed = Counter(project.values("dirt__rows", "_cdp_origin"))
    expected = {"bom": 2, "crlf": 2, "semicolon": 2, "tab": 2, "no-end": 2, "quotes": 3, "blank-lines": 2, "nul": 1}
    expected |= {"same-names": 1, "long": 2, "short": 2, "open-quote": 2, "stray-quote": 1, "not-utf8": 2}
    expected |= {"type": 1, "too-long": 1}
    assert landed == {f"{name}.csv": n for name, n in expected.items()} | {"packed.csv.gz": 2}
    assert loaded.total == sum(landed.values())
    assert {(origin, position, reason) for origin, position, reason, _ in project.open_rows()} == {
        ("short.csv", 3, "has 1 values, the header names 2 columns"),
        ("short.csv", 4, "has 3 values, the header names 2 columns"),
        ("open-quote.csv", 2, "its quotes are not right: unexpected end of data"),
        ("stray-quote.csv", 2, "its quotes are not right: ',' expected after '\"'"),
        ("not-utf8.csv", 3, "is not utf-8"),
        ("type.csv", 2, "id: is not a bigint"),
        ("type.csv", 3, "id: is required but missing"),
        ("other.csv", 0, "the file its first line is no header: it names none of the declared columns (id, name, ...)"),
        ("cut.csv.gz", 0, "the file is damaged or cut off: the compressed data does not end as it should"),
        ("utf16.csv", 0, 'the file is UTF-16; declare "encoding: utf-16"'),
        ("too-wide.csv", 0, "the file has 4001 columns; at most 2500 are landed"),
        ("too-long.csv", 2, "is longer than 32 MiB; only its beginning is kept here"),
    }
    originals = {(o, p): text for o, p, _, text in project.open_rows()}
    assert originals["short.csv", 4] == "3,c,x"
    assert originals["not-utf8.csv", 3] == "2,Zo\\xeb"
    assert originals["open-quote.csv", 2] == '1,"never closed'
    names = dict(project.query("select _cdp_origin || _cdp_row, name from raw.dirt__rows"))
    assert names["bom.csv3"] == "李雷"
    assert (names["quotes.csv2"], names["quotes.csv3"], names["quotes.csv5"]) == ('a "b" c, d', "two\nlines", '5" lamp')
    assert (names["nul.csv2"], names["blank-lines.csv8"], len(names["long.csv2"])) == ("a\x00b", "b", 20_000_000)
    assert project.query(
        'select name, name_2, name_3, "column", column_2 from raw.dirt__rows where name_2 is not null'
    ) == [("a", "b", "c", "d", "e")]
    assert project.load(source).total == 0


def test_dirty_json_lines(project: Project) -> None:
    source = project.declare("dirt", JSON)
    good = b'{"id": 1, "name": "Zo\xc3\xab"}\n'
    files: dict[str, bytes] = {
        "bom.jsonl": b"\xef\xbb\xbf" + good,
        "crlf.jsonl": good.replace(b"\n", b"\r\n") * 2,
        "blank.jsonl": b"\n  \n" + good + b"\n\t\n",
        "empty.jsonl": b"",
        "nested.jsonl": b'{"id": 1, "name": {"first": ["a", null]}}\n',
        "keys.jsonl": b'{"id": 1, "": "e", "a/b~c.d": 1, "A b": true, "a_b": 2, "\\u0000": "n", "_dlt_load_id": "x", "name__v_text": 5}\n',
        "twice.jsonl": b'{"id": 1, "id": 2}\n',
        "big.jsonl": b'{"id": 1, "name": "' + b"x" * 20_000_000 + b'"}\n',
        "number.jsonl": b'{"id": 9007199254740993, "huge": 18446744073709551615, "n": 1}\n{"id": 2, "huge": -1, "n": 2.5}\n',
        # from here on something is to be set aside
        "bad.jsonl": b'{"id": 1}\n{"id": \n[1]\n"x"\nnull\n{"id": 2} {"id": 3}\n{"id": "\\ud800"}\n',
        "nul.jsonl": b'{"id": 1, "name": "a\x00b"}\n',
        "not-utf8.jsonl": good + b'{"id": 2, "name": "\xff"}\n' + good,
        "type.jsonl": b'{"id": "x"}\n{"name": "a"}\n{"id": null}\n{"id": true}\n{"id": 1.0}\n{"id": 1.5}\n',
        "cut.jsonl.gz": gzip.compress(good * 500)[:-30],
        "not-gz.jsonl.gz": good,
    }
    for name, content in files.items():
        project.drop(name, content)
    loaded = project.load(source)
    landed = Counter(project.values("dirt__rows", "_cdp_origin"))
    expected = {"bom": 1, "crlf": 2, "blank": 1, "nested": 1, "keys": 1, "twice": 1, "big": 1, "number": 2}
    expected |= {"bad": 1, "not-utf8": 2, "type": 1}
    assert landed == {f"{name}.jsonl": n for name, n in expected.items()}
    assert loaded.total == sum(landed.values())
    found = {(origin, position): reason for origin, position, reason, _ in project.open_rows()}
    assert found == {
        ("bad.jsonl", 2): "is not valid JSON",
        ("bad.jsonl", 3): "is JSON but not an object",
        ("bad.jsonl", 4): "is JSON but not an object",
        ("bad.jsonl", 5): "is JSON but not an object",
        ("bad.jsonl", 6): "is not valid JSON",
        ("bad.jsonl", 7): "is not valid JSON",
        ("nul.jsonl", 1): "is not valid JSON",
        ("not-utf8.jsonl", 2): "is not utf-8",
        ("type.jsonl", 1): "id: is not a bigint",
        ("type.jsonl", 2): "id: is required but missing",
        ("type.jsonl", 3): "id: is required but missing",
        ("type.jsonl", 4): "id: is not a bigint",
        ("type.jsonl", 6): "id: is not a bigint",
        ("cut.jsonl.gz", 0): "the file is damaged or cut off: the compressed data does not end as it should",
        ("not-gz.jsonl.gz", 0): "the file is damaged or cut off: the compressed data does not end as it should",
    }
    assert project.query("select name from raw.dirt__rows where _cdp_origin = 'nested.jsonl'") == [
        ('{"first":["a",null]}',)
    ]
    assert project.query(
        "select id, huge, n from raw.dirt__rows where huge is not null or huge__v_text is not null"
    ) == [
        (9007199254740993, None, 1.0),
        (2, -1, 2.5),
    ]
    assert project.query("select huge__v_text from raw.dirt__rows where huge__v_text is not null") == [
        ("18446744073709551615",)
    ]
    keys = project.query(
        'select "column", a_b_c_d, a_b, a_b_2, column_2, dlt_load_id, name_v_text from raw.dirt__rows where a_b is not null'
    )
    assert keys == [("e", 1, 2, True, "n", "x", 5)]


def test_encodings(project: Project) -> None:
    """Declared encodings, also of files that grow."""
    text = "id,name\n1,王小明\n2,李雷\n"
    gbk = project.declare("gbk", CSV % "gb18030")
    path = project.drop("a.csv", text.encode("gb18030"))
    project.load(gbk)
    with path.open("ab") as file:
        file.write("3,\u4e01\n".encode("gb18030"))
    project.load(gbk)
    assert project.values("gbk__rows", "name") == ["王小明", "李雷", "丁"]
    assert project.values("gbk__rows", "_cdp_row") == [2, 3, 4]
    path.unlink()
    wide = project.declare("wide", CSV % "utf-16")
    project.drop("b.csv", text.encode("utf-16"))
    project.load(wide)
    assert project.values("wide__rows", "name") == ["王小明", "李雷"]


def test_damaged_parquet(project: Project) -> None:
    source = project.declare(
        "sheet", CSV.replace("format: csv", "format: parquet").replace('"*.csv*"', '"*.parquet"') % "utf-8"
    )
    duckdb.execute(
        f"copy (select i as id, 'n' || i as name from range(200000) t(i)) to '{project.landing}/a.parquet' (row_group_size 20000)"
    )
    whole = (project.landing / "a.parquet").read_bytes()
    project.drop("cut.parquet", whole[: len(whole) // 2])
    project.drop("empty.parquet", b"")
    project.drop("text.parquet", b"id,name\n1,a\n")
    damaged = bytearray(whole)
    damaged[len(whole) * 3 // 4 : len(whole) * 3 // 4 + 4000] = b"\xff" * 4000
    project.drop("damaged.parquet", bytes(damaged))
    loaded = project.load(source)
    landed = Counter(project.values("sheet__rows", "_cdp_origin"))
    assert landed["a.parquet"] == 200000
    assert landed["damaged.parquet"] < 200000
    assert loaded.total == sum(landed.values())
    assert sorted((o, p) for o, p, _, _ in project.open_rows()) == [
        (n, 0) for n in ("cut.parquet", "damaged.parquet", "empty.parquet", "text.parquet")
    ]
    project.drop("cut.parquet", whole)  # the upload is complete: a copy of what is there
    duckdb.execute(f"copy (select -1 as id, 'x' as name) to '{project.landing}/empty.parquet'")
    again = project.load(source)
    assert (again.rows, again.completed) == ({"rows": 1}, 2)


def test_a_file_that_may_not_be_read_is_tried_when_it_may(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """As another user than root: as root nothing is forbidden, so opening is made to fail."""
    from pathlib import Path

    source = project.declare("dirt", JSON)
    path = project.drop("a.jsonl", b'{"id": 1}\n')
    opened = Path.open

    def refuse(self: Path, *args: object, **kwargs: object) -> object:
        if self.name == "a.jsonl":
            raise PermissionError(13, "Permission denied")
        return opened(self, *args, **kwargs)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        assert project.load(source).quarantined == 1
        assert project.load(source).quarantined == 0
    assert project.open_rows() == [("a.jsonl", 0, "the file cannot be opened: Permission denied", "a.jsonl")]
    path.chmod(0o600)
    done = project.load(source)
    assert (done.rows, done.completed, project.open_rows()) == ({"rows": 1}, 1, [])


def test_many_columns(project: Project) -> None:
    csv = project.declare("sheet", CSV % "utf-8")
    project.drop("a.csv", ",".join(["id", *(f"c{n}" for n in range(500))]) + "\n1" + ",x" * 500 + "\n")
    assert project.load(csv).rows == {"rows": 1}
    assert project.query("select id, c0, c499 from raw.sheet__rows") == [(1, "x", "x")]
    log = project.declare("log", JSON)
    project.drop("a.jsonl", json.dumps({"id": 1} | {f"c{n}": n for n in range(300)}) + "\n")
    assert project.load(log).rows == {"rows": 1}
    assert project.query("select id, c0, c299 from raw.log__rows") == [(1, 0, 299)]


def test_keys_that_are_data_make_no_columns(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.json_rows.MAX_COLUMNS", 100)
    source = project.declare("dirt", JSON)
    rows = [{"id": n, "usual": n, f"user-{n}": "v"} for n in range(500)]
    project.drop("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert project.load(source).rows == {"rows": 500}
    ((columns,),) = project.query("select count(*) from duckdb_columns() where table_name = 'dirt__rows'")
    assert 100 < columns < 110
    assert project.values("dirt__rows", "usual") == list(range(500))
    kept = project.query("select id, _cdp_rest from raw.dirt__rows where _cdp_rest is not null")
    assert len(kept) == 500 - (100 - 2)
    assert all(json.loads(text) == rows[n] for n, text in kept)
    assert project.query("select count(*) from raw.raw_schema_change where change = 'too many columns'") == [(1,)]
