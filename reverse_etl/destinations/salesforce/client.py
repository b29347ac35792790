"""Salesforce: records by jobs of Bulk API 2.0, found by an external id; deletes and updates by the id that a query finds.

Contract: "Bulk API 2.0 and Bulk API Developer Guide" (create a job, upload job data, close a job, successful, failed and
unprocessed records), "REST API Developer Guide" (describe, query), OAuth 2.0 client credentials (RFC 6749, section 4.4).
Nothing of a job is worked on before it is closed, and a job takes one upload only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cdp.errors import ConfigurationError
from reverse_etl.destination import (
    Batch,
    BatchRejectedError,
    Outcome,
    Result,
    Row,
    SchemaGoneError,
    Status,
    UnavailableError,
)
from reverse_etl.destination_spec import DestinationSpec
from reverse_etl.destinations.rest import Rest, document, oauth
from reverse_etl.destinations.salesforce.sheet import cell, read_sheet, sheet
from reverse_etl.http import Http, judge_status
from reverse_etl.pace import Pace, TryAgain
from reverse_etl.response import Response

if TYPE_CHECKING:
    from reverse_etl.catalog import MappedField

_EXPECTED = "a connected app with the client credentials flow, whose user may use the API and the object"
# Ids of one query: a URL may have 16,384 bytes.
_QUERY_ROWS, _QUERY_BYTES = 200, 8_000
# Refusals of a record that pass by themselves ("Status codes", SOAP API Developer Guide).
_PASSING = {"UNABLE_TO_LOCK_ROW", "REQUEST_RUNNING_TOO_LONG", "SERVER_UNAVAILABLE", "QUERY_TIMEOUT"}
_GONE = {"ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY"}


def connect(spec: DestinationSpec, connection: Mapping[str, str], pace: Pace) -> Salesforce:
    """A client for `CDP_SALESFORCE__BASE_URL`; access tokens come from the client's credentials."""
    form = {"grant_type": "client_credentials"} | {name: connection[name] for name in ("client_id", "client_secret")}
    token = oauth(spec.name, "/services/oauth2/token", form, expected=_EXPECTED)
    http = Http(spec, connection["base_url"], pace, token=token)
    rest = Rest(http, spec.name, _error, credentials=_EXPECTED, judge=_judge)
    return Salesforce(rest, f"/services/data/v{connection['api_version']}")


class Salesforce:
    """See `reverse_etl.destination.Client`."""

    def __init__(self, rest: Rest, root: str) -> None:
        self._rest, self._root = rest, root

    def prepare(self, object_name: str, fields: Sequence[MappedField], options: Mapping[str, str]) -> None:
        """Every field exists and can be written, and the external id is one. Salesforce would refuse whole jobs else."""
        answer = self._rest.call("GET", f"{self._root}/sobjects/{options['object']}/describe").json()
        there = {each["name"]: each for each in answer["fields"]}
        external = options["external_id"]
        wanted = {field.name for field in fields} | {external}
        if gone := sorted(
            n for n in wanted if n not in there or not (there[n]["createable"] or there[n]["updateable"])
        ):
            raise SchemaGoneError(gone)
        if external not in {field.name for field in fields} or not there[external]["externalId"]:
            raise ConfigurationError(
                f"records of {options['object']} cannot be found by {external}",
                where="options.external_id",
                expected="a field that the sync fills and that is marked as external id at Salesforce",
                fix="mark the field as unique external id, or name another one",
            )

    def write(self, batch: Batch) -> Result:
        """One upsert job; of `update_only` one update job of the records that are there."""
        rows, outcomes = _by_external_id(batch)
        names = sorted({name for row in rows.values() for name in row.payload})
        if batch.mode != "update_only":
            external = batch.options["external_id"]
            lines = [{name: row.payload[name] for name in names if name in row.payload} for row in rows.values()]
            return Result(outcomes | self._job(batch, "upsert", external, names, lines, rows))
        ids = self._ids(batch, rows)
        missing = Outcome("rejected", "no record has this external id", "not_found")
        outcomes |= {row.key: missing for value, row in rows.items() if value not in ids}
        found = {ids[value]: row for value, row in rows.items() if value in ids}
        lines = [{"Id": each, **row.payload} for each, row in found.items()]
        return Result(outcomes | self._job(batch, "update", "Id", ["Id", *names], lines, found))

    def delete(self, batch: Batch) -> Result:
        """One delete job. What no query finds is gone already."""
        rows, outcomes = _by_external_id(batch)
        ids = self._ids(batch, rows)
        found = {ids[value]: row for value, row in rows.items() if value in ids}
        done = self._job(batch, "delete", "Id", ["Id"], [{"Id": each} for each in found], found)
        done = {key: Outcome("succeeded") if each.code in _GONE else each for key, each in done.items()}
        outcomes |= {row.key: Outcome("succeeded") for value, row in rows.items() if value not in ids}
        return Result(outcomes | done)

    def close(self) -> None:
        """Give connections back."""
        self._rest.close()

    def _job(
        self,
        batch: Batch,
        operation: str,
        column: str,
        names: Sequence[str],
        lines: Sequence[Mapping[str, Any]],
        rows: Mapping[str, Row],
    ) -> dict[str, Outcome]:
        """Outcomes by row key. `rows`: by the value of `column`, by which results are read."""
        if not lines:
            return {}
        about = {"object": batch.options["object"], "operation": operation, "contentType": "CSV", "lineEnding": "LF"}
        if operation == "upsert":
            about["externalIdFieldName"] = column
        job = self._closed(about, sheet(names, lines))
        told = self._ended(job)
        number = str(told["id"])
        outcomes = {
            rows[line[column]].key: Outcome("succeeded", request_id=number)
            for line in self._read(f"{job}/successfulResults/")
        }
        for line in self._read(f"{job}/failedResults/"):
            code, _, reason = line["sf__Error"].partition(":")
            status: Status = "failed" if code in _PASSING else "rejected"
            outcomes[rows[line[column]].key] = Outcome(status, reason.strip(" :-"), code, number)
        if told["state"] != "JobComplete":
            # What such a job did not work on was certainly not applied.
            reason = str(told.get("errorMessage", ""))
            if reason.startswith("InvalidBatch"):
                unread = Outcome("rejected", reason, "InvalidBatch", number)
                return {row.key: unread for row in rows.values()} | outcomes
            left = Outcome("failed", reason, "job_failed", number)
            outcomes |= {rows[line[column]].key: left for line in self._read(f"{job}/unprocessedrecords/")}
        return outcomes

    def _ended(self, job: str) -> Mapping[str, Any]:
        """The job when Salesforce is done with it. One that takes too long is aborted, so that it cannot overwrite what the
        rows are sent as by then."""
        try:
            done: Mapping[str, Any] = self._rest.call("GET", job, judge=_judge_job).json()
        except UnavailableError as error:
            if error.code != "job_running":
                raise
            self._rest.call("PATCH", job, {"state": "Aborted"}, accept=(400,))
            done = self._rest.call("GET", job, judge=_judge_job).json()
        return done

    def _closed(self, about: Mapping[str, str], content: bytes) -> str:
        """Path of a job that holds the rows and is closed: from here on Salesforce works on it."""
        made = self._rest.call("POST", f"{self._root}/jobs/ingest", about).json()
        job = f"{self._root}/jobs/ingest/{made['id']}"
        self._rest.call("PUT", f"{job}/batches", content=content, headers={"Content-Type": "text/csv; charset=UTF-8"})
        try:
            self._rest.call("PATCH", job, {"state": "UploadComplete"})
        except BatchRejectedError as error:
            if self._rest.call("GET", job).json()["state"] != "Open":
                return job  # an earlier attempt, whose answer was lost, has closed it
            self._rest.call("PATCH", job, {"state": "Aborted"})
            if "multiple contents" not in str(error).lower():
                raise
            # The answer to an upload was lost and it went out twice. Nothing of the job was worked on.
            raise UnavailableError("the upload arrived twice", effect_unknown=False) from None
        return job

    def _read(self, path: str) -> list[dict[str, str]]:
        return read_sheet(self._rest.call("GET", path, headers={"Accept": "text/csv"}).content)

    def _ids(self, batch: Batch, rows: Mapping[str, Row]) -> dict[str, str]:
        """Salesforce's ids by external id. Texts are compared without regard to case there, so here, too."""
        name, by_folded = batch.options["external_id"], {value.casefold(): value for value in rows}
        found: dict[str, str] = {}
        part: list[str] = []
        size = 0
        for value, row in rows.items():
            literal = value if isinstance(row.payload[name], int | float) else _quoted(value)
            length = len(quote(literal, safe=""))
            if part and (len(part) == _QUERY_ROWS or size + length > _QUERY_BYTES):
                found |= self._query(batch, part)
                part, size = [], 0
            part.append(literal)
            size += length
        if part:
            found |= self._query(batch, part)
        return {by_folded[value.casefold()]: each for value, each in found.items() if value.casefold() in by_folded}

    def _query(self, batch: Batch, literals: Sequence[str]) -> dict[str, str]:
        name = batch.options["external_id"]
        soql = f"SELECT Id, {name} FROM {batch.options['object']} WHERE {name} IN ({', '.join(literals)})"
        answer = self._rest.call("GET", f"{self._root}/query", params={"q": soql}).json()
        return {cell(each[name]): str(each["Id"]) for each in answer["records"]}


def _by_external_id(batch: Batch) -> tuple[dict[str, Row], dict[str, Outcome]]:
    """Rows by the external id as it is written, and outcomes of those that cannot be told apart by it."""
    name = batch.options["external_id"]
    rows: dict[str, Row] = {}
    outcomes: dict[str, Outcome] = {}
    for row in batch.rows:
        value = row.payload.get(name)
        if value in (None, ""):
            outcomes[row.key] = Outcome("rejected", f"{name} is empty", "no_external_id")
        elif cell(value) in rows:
            outcomes[row.key] = Outcome("rejected", f"another row has the same {name}", "same_external_id")
        else:
            rows[cell(value)] = row
    return rows, outcomes


def _quoted(text: str) -> str:
    """A text in SOQL ("Quoted string escape sequences")."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"


def _judge(response: Response) -> None:
    """Used-up calls come as 403, which else means wrong credentials."""
    if response.status_code == 403 and document(response).get("errorCode") == "REQUEST_LIMIT_EXCEEDED":
        raise TryAgain("status 403, REQUEST_LIMIT_EXCEEDED", code="rate_limit")
    judge_status(response)


def _judge_job(response: Response) -> None:
    """Until the job is done its rows may or may not have been applied."""
    _judge(response)
    if response.status_code == 200 and (state := response.json()["state"]) not in ("JobComplete", "Failed", "Aborted"):
        raise TryAgain(f"the job is {state}", effect_unknown=True, code="job_running")


def _error(body: Mapping[str, Any]) -> tuple[str, str]:
    return str(body.get("errorCode", "")), str(body.get("message", ""))
