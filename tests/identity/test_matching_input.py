"""What `cdp identity match` says of files and models that are wrong, and how it cleans values."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from cdp.errors import CdpError, DeclarationError
from cdp.identity.matching_columns import cleaned
from cdp.identity.matching_file import match_file
from cdp.identity.matching_model import load_model
from cdp.settings import Settings
from tests.identity.matching_files import SMALL


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.csv", b"", "the file is empty"),
        ("r.csv", b"record_id,first_name,last_name,born_on,city\n", "a header and no rows"),
        ("r.csv", b"id,first_name,last_name,born_on,city\n1,A,B,,\n", 'no column "record_id"'),
        ("r.csv", b"record_id,first_name,lastname,born_on,city\n1,A,B,,\n", 'did you mean "lastname"'),
        (
            "r.csv",
            b"record_id,first_name,last_name,born_on,city\n1,A,B,,\n1,C,D,,\n",
            "1 rows repeat a record_id: among them row 1, 2",
        ),
        (
            "r.csv",
            b"record_id,first_name,last_name,born_on,city\n1,A,B,,\n ,Secret,D,,\n",
            "1 rows have no record_id: among them row 2",
        ),
        ("r.csv", b"record_id,first_name,last_name,born_on,city\n1,A,B,,\n", "1 records; nothing to compare"),
        ("r.csv", b"record_id,first_name,last_name,born_on,city\n1,A,B,,\n2,Secret,D,,\n", "no two records agree on"),
        ("r.csv", b"record_id,first_name,last_name,born_on,city\n1,A,B,,\n2,Sec\xffret,D,,\n", "cannot be read"),
        ("r.parquet", b"PAR1 but Secret", "cannot be read"),
        ("r.xlsx", b"x", '".xlsx" is not read'),
        ("missing", None, "there is no such file"),
    ],
)
def test_bad_input_is_named(name: str, content: bytes | None, message: str, tmp_path: Path, model: Path) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CdpError) as caught:
        match_file(path, model, tmp_path / "out", Settings())
    assert message in caught.value.render()
    assert "Secret" not in caught.value.render()
    assert "\n  expected:" in caught.value.render() or message == "there is no such file"
    assert not (tmp_path / "out" / "clusters.parquet").exists()


@pytest.mark.parametrize(
    ("found", "replaced", "message"),
    [
        ("accept: 0.9", "accept: 2", "less than 1"),
        ("column: last_name}", "column: surname}", '"surname" is not'),
        ("[[born_on], [last_name]]", "[[born_on]]", "could never be trained"),
        ("at: [1]", "at: [2, 1]", "rising numbers"),
        ("clean: [lower]}", "clean: [lowr]}", 'did you mean "lower"'),
        ("type: exact", "type: exactly", "'exact', 'text', 'names'"),
        ("keep: 0.0001", "kep: 0.0001", "unknown key"),
        ("keep: 0.0001", "keep: 0.95", "at most accept"),
        ("keep: 0.0001", "entity: person", "entity and input together"),
    ],
)
def test_wrong_models_are_named(found: str, replaced: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yml"
    assert found in SMALL
    path.write_text(SMALL.replace(found, replaced, 1), encoding="utf-8")
    with pytest.raises(DeclarationError) as caught:
        load_model(path)
    assert message in caught.value.render()


@pytest.mark.parametrize(
    ("steps", "value", "expected"),
    [
        (["lower"], "  Ünal ", "ünal"),
        (["lower", "strip_accents"], "Ünal", "unal"),
        (["letters"], "O'Brien-3 王", "O Brien 王"),
        (["digits"], "+49 (30) 12-34", "49301234"),
        (["digits"], "none", None),
        (["alphanumeric", "no_spaces"], "a b-1", "ab1"),
        (["lower", "sort_words"], "Schmidt Anna", "anna schmidt"),
        (["first_word"], "Anna Maria", "Anna"),
        (["last_word"], "Anna Maria", "Maria"),
        (["email"], " Anna+Shop@Mail.example ", "anna@mail.example"),
        (["email"], "not an address", None),
        (["domain"], "Anna@Sales.Example", "sales.example"),
        (["domain"], "https://www.acme.example/contact", "acme.example"),
        (["company"], "The Müller & Söhne GmbH & Co. KG", "muller sohne"),
        (["company"], "Acme, Inc.", "acme"),
        (["company"], "ACME INC", "acme"),
        (["company"], "上海华光工程有限公司", "上海华光工程"),
        (["company"], "Group Ltd.", None),
        (["date"], "19081209", "1908-12-09"),
        (["date"], "09.12.1908", "1908-12-09"),
        (["date"], "1908-13-09", None),
        (["lower"], "   ", None),
        (["lower"], None, None),
    ],
)
def test_cleaning(steps: list[str], value: str | None, expected: str | None) -> None:
    sql = cleaned(["a b"], steps, ["unknown"], None)  # type: ignore[arg-type]
    assert duckdb.connect().execute(f'select {sql} from (select ?::varchar as "a b")', [value]).fetchall() == [
        (expected,)
    ]


def test_cleaning_joins_and_cuts() -> None:
    con = duckdb.connect()
    joined = cleaned(["a", "b"], ["lower"], ["unknown"], 4)
    sql = f"select {joined} from (values ('Anna', 'Bo'), (null, 'Bo'), (null, null), ('Unknown', null)) as t(a, b)"
    assert [row[0] for row in con.execute(sql).fetchall()] == ["anna", "bo", None, None]
