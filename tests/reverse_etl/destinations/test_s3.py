"""Files on S3, before a server that speaks S3 (moto)."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterator
from typing import Any

import boto3
import duckdb
import pyarrow.parquet as pq
import pytest
from botocore.awsrequest import AWSResponse
from moto.server import ThreadedMotoServer

from cdp.errors import ConfigurationError
from reverse_etl import catalog, engine
from reverse_etl.catalog import MappedField
from reverse_etl.declaration import FieldMap
from reverse_etl.destination import BatchRejectedError, UnavailableError
from reverse_etl.destination_spec import FieldRule
from reverse_etl.destinations.s3.client import connect
from reverse_etl.pace import Pace
from reverse_etl.result import SyncResult
from tests.reverse_etl.conftest import Project
from tests.reverse_etl.destinations.shared import batch

COLUMNS = {
    "id": "varchar", "score": "double", "visits": "bigint", "is_vip": "boolean", "born_on": "date", "seen_at": "timestamp",
    "tags": "varchar[]",
}  # fmt: skip
SYNC = """
name: members
description: Files of the tests.
owner: tests
source: snd_s3__members
destination: s3
object: {object}
key: id
mode: {mode}
fields: {fields}
consent_purpose: service
schedule: "0 3 * * *"
limits: {{max_change_percent: 100}}
options: {{prefix: out/day=1, file: {file}, encryption: AES256}}
"""
FIELDS = "{id: id, score: score, visits: visits, is_vip: is_vip, born_on: born_on, seen_at: seen_at, tags: tags}"
ANNA = ("a", 1.5, 7, True, dt.date(1990, 1, 2), dt.datetime.fromisoformat("2026-02-03T04:05:06.789"), ["x", "y"])
KEYS = {"ACCESS_KEY_ID": "demo", "SECRET_ACCESS_KEY": "demo-secret"}


class Bucket:
    """The bucket, and the sync that writes to it."""

    def __init__(self, project: Project, url: str) -> None:
        self.project = project
        keys = {"aws_access_key_id": "demo", "aws_secret_access_key": "demo-secret"}
        self.s3: Any = boto3.session.Session().client("s3", endpoint_url=url, region_name="us-east-1", **keys)

    def declare(self, kind: str, file: str, mode: str = "mirror", fields: str = FIELDS) -> None:
        self.project.contract("snd_s3__members", COLUMNS, "service")
        self.project.sync("members", SYNC.format(object=kind, file=file, mode=mode, fields=fields))

    def run(self, *rows: tuple[Any, ...], as_of: str = "2026-03-01T00:00:00") -> SyncResult:
        self.project.fill("snd_s3__members", COLUMNS, [(*row, *(None,) * (7 - len(row))) for row in rows])
        return engine.run("members", self.project.settings, as_of)

    def files(self) -> dict[str, bytes]:
        listed = self.s3.list_objects_v2(Bucket="lumen").get("Contents", [])
        return {each["Key"]: self.s3.get_object(Bucket="lumen", Key=each["Key"])["Body"].read() for each in listed}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host.replace('0.0.0.0', '127.0.0.1')}:{port}"  # noqa: S104 - how moto names its own address
    server.stop()


@pytest.fixture
def bucket(project: Project, address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    for name, value in {"BASE_URL": address, "BUCKET": "lumen", **KEYS}.items():
        monkeypatch.setenv(f"CDP_S3__{name}", value)
    made = Bucket(project, address)
    made.s3.create_bucket(Bucket="lumen")
    yield made
    for key in made.files():
        made.s3.delete_object(Bucket="lumen", Key=key)
    made.s3.delete_bucket(Bucket="lumen")


def test_a_parquet_snapshot_has_types_and_is_replaced_only_when_a_row_changes(bucket: Bucket) -> None:
    bucket.declare("snapshot", "members.parquet")
    assert bucket.run(ANNA, ("b",)).created == 2
    ((name, content),) = bucket.files().items()
    assert name == "out/day=1/members.parquet"
    table = pq.read_table(io.BytesIO(content))
    assert {field.name: str(field.type) for field in table.schema} == {
        "born_on": "date32[day]", "id": "string", "is_vip": "bool", "score": "double", "seen_at": "timestamp[us, tz=UTC]",
        "tags": "list<element: string>", "visits": "int64",
    }  # fmt: skip
    con = duckdb.connect()
    con.register("held", table)
    found = con.execute(
        "select id, score, visits, is_vip, born_on, epoch_ms(seen_at), tags from held order by id"
    ).fetchall()
    assert found == [(*ANNA[:5], 1770091506789, ANNA[6]), ("b", None, None, None, None, None, None)]
    head = bucket.s3.head_object(Bucket="lumen", Key=name)
    assert (head["ServerSideEncryption"], head["ContentType"]) == ("AES256", "application/vnd.apache.parquet")
    written = head["LastModified"]
    assert bucket.run(ANNA, ("b",)).sent == 0
    assert bucket.s3.head_object(Bucket="lumen", Key=name)["LastModified"] == written
    before = bucket.files()
    bucket.run(ANNA)
    bucket.run(("b",), ANNA)
    assert bucket.files() == before, "the same rows give the same bytes"
    result = bucket.run(("b",), ("c",))
    assert (result.created, result.deleted, result.unchanged) == (1, 1, 1)
    assert pq.read_table(io.BytesIO(bucket.files()[name]))["id"].to_pylist() == ["b", "c"]


def test_files_of_changes_are_named_for_their_content(bucket: Bucket) -> None:
    bucket.declare("delta", "members.csv", fields="{id: id, visits: visits}")
    bucket.run(("a", None, 1), ("b", None, 2))
    bucket.run(("a", None, 9), ("c", None, 3), as_of="2026-03-02T00:00:00")
    contents = bucket.files()
    assert sorted(contents.values()) == sorted(
        [b"operation,id,visits\nupsert,a,1\nupsert,b,2\n", b"operation,id,visits\nupsert,a,9\nupsert,c,3\n",
         b"operation,id,visits\ndelete,b,2\n"]
    )  # fmt: skip
    assert all(name.startswith("out/day=1/members_2026030") for name in contents)


def test_wrong_settings_end_the_run(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.declare("snapshot", "members.csv", fields="{id: id, operation: {column: score, cast: text}}")
    with pytest.raises(ConfigurationError, match='a field is called "operation"'):
        bucket.run(("a",))
    bucket.declare("snapshot", "members.csv")
    client = connect(
        catalog.destination("s3"),
        {"base_url": "http://127.0.0.1:1", "bucket": "lumen", "region": "us-east-1", "session_token": "",
         "access_key_id": "a", "secret_access_key": "b"},
        Pace(catalog.destination("s3").retry),
    )  # fmt: skip
    with pytest.raises(UnavailableError, match="no connection") as told:
        client.prepare("snapshot", [], {})
    assert not told.value.effect_unknown
    client.close()
    monkeypatch.setenv("CDP_S3__BUCKET", "nosuch")
    monkeypatch.setattr(engine, "_check_control", lambda *_: None)
    with pytest.raises(ConfigurationError, match="the bucket does not exist"):
        bucket.run(("a",))


class Answered:
    """Answers that botocore gets instead of the server's, by its own hook before a request is sent."""

    def __init__(self, *answers: tuple[int, str]) -> None:
        self.left = list(answers)

    def __call__(self, request: Any, **_: Any) -> AWSResponse | None:
        if not self.left:
            return None
        status, code = self.left.pop(0)
        raw = io.BytesIO(f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode())
        raw.stream = lambda: iter([raw.getvalue()])  # type: ignore[attr-defined]
        return AWSResponse(request.url, status, {"content-type": "application/xml"}, raw)


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([(503, "SlowDown"), (500, "InternalError")], None),
        ([(403, "AccessDenied")], ConfigurationError),
        ([(400, "EntityTooLarge")], BatchRejectedError),
        ([(500, "Strange")] * 6, UnavailableError),
    ],
)
def test_errors_of_the_store(bucket: Bucket, answers: list[tuple[int, str]], error: type[Exception] | None) -> None:
    settings = {"base_url": bucket.s3.meta.endpoint_url, "bucket": "lumen", "region": "us-east-1", "session_token": ""}
    keys = {name.lower(): value for name, value in KEYS.items()}
    spec = catalog.destination("s3")
    client = connect(spec, {**settings, **keys}, Pace(spec.retry))
    client.prepare("delta", [MappedField("id", FieldMap(column="id"), FieldRule(type="text"), "text", True)], {})
    client._client.meta.events.register("before-send.s3.PutObject", Answered(*answers))
    rows = batch("delta", [{"id": "a"}], prefix="p", file="x.parquet", encryption="bucket")
    if error is None:
        assert client.write(rows).outcome("r0").status == "succeeded"
    else:
        with pytest.raises(error):
            client.write(rows)
    client.close()
    rows_there = [pq.read_table(io.BytesIO(content)).to_pylist() for content in bucket.files().values()]
    assert rows_there == ([[{"operation": "upsert", "id": "a"}]] if error is None else [])
