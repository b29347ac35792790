"""Salesforce as far as a sync sees it: client credentials with tokens that end, describe, queries, and jobs of Bulk API 2.0.

Contract: "Bulk API 2.0 and Bulk API Developer Guide", "REST API Developer Guide". A job is worked on when it has been
asked for once after it was closed. Rules of records are in _salesforce_rules.py.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from demo.emulators.destinations import Fates
from demo.emulators.destinations._salesforce_rules import OBJECTS, external_ids, problem_of, stored
from demo.emulators.destinations._vendor import Handler, Refusal, Vendor

CLIENT = {"client_id": "demo-consumer-key", "client_secret": "demo-consumer-secret"}
VERSION = "59.0"
_ROOT = f"/services/data/v{VERSION}"
_OPERATIONS = {"insert", "update", "upsert", "delete"}
_QUERY = re.compile(r"SELECT Id, (\w+) FROM (\w+) WHERE (\w+) IN \((.+)\)", re.DOTALL)
_LITERAL = re.compile(r"'((?:[^'\\]|\\.)*)'|(-?[0-9.]+)", re.DOTALL)


def environment(base_url: str) -> dict[str, str]:
    """Lines of world.env."""
    settings = {"base_url": base_url, **CLIENT}
    return {f"CDP_SALESFORCE__{name.upper()}": value for name, value in settings.items()}


def create_app(world_dir: Path, state_dir: Path, faults: Fates) -> Starlette:
    """The emulator. `world_dir` is not read: the org holds only what it was sent."""
    return Salesforce(state_dir, faults).app()


class Salesforce(Vendor):
    """One org. Records are held by id under their object's name; `lock` holds external ids that somebody is
    changing, `slow` objects whose jobs do not end."""

    name = "salesforce"
    max_bytes = 100_000_000

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        """The calls of a sync."""
        job = f"{_ROOT}/jobs/ingest/{{id}}"
        return [
            ("POST", "/services/oauth2/token", self._token),
            ("GET", f"{_ROOT}/sobjects/{{object}}/describe", self._describe),
            ("GET", f"{_ROOT}/query", self._query),
            ("POST", f"{_ROOT}/jobs/ingest", self._make),
            ("PUT", f"{job}/batches", self._upload),
            ("PATCH", job, self._change),
            ("GET", job, self._job),
            ("GET", f"{job}/successfulResults/", lambda request, _: self._results(request, "done")),
            ("GET", f"{job}/failedResults/", lambda request, _: self._results(request, "failed")),
            ("GET", f"{job}/unprocessedrecords/", lambda request, _: self._results(request, "left")),
        ]

    def authorise(self, request: Request) -> None:
        """A session that was given out and has not ended."""
        if not request.url.path.endswith("/oauth2/token") and not self.bearer(request):
            raise Refusal(401, self.error(401, "Session expired or invalid"))

    def error(self, status: int, message: str, code: str = "") -> Any:
        """Salesforce answers with a list of errors."""
        usual = {401: "INVALID_SESSION_ID", 403: "REQUEST_LIMIT_EXCEEDED", 404: "NOT_FOUND", 413: "EXCEEDED_MAX_SIZE"}
        return [{"errorCode": code or usual.get(status, "UNKNOWN_EXCEPTION"), "message": message}]

    def _token(self, _request: Request, content: bytes) -> Response:
        given = {name: values[0] for name, values in parse_qs(content.decode()).items()}
        if given != {"grant_type": "client_credentials", **CLIENT}:
            body = {"error": "invalid_client", "error_description": "invalid client credentials"}
            raise Refusal(400, body)
        return JSONResponse({"access_token": self.issue("00D!", 7200), "token_type": "Bearer", "scope": "api"})

    def _describe(self, request: Request, _content: bytes) -> Response:
        name = self._object(request.path_params["object"])
        fields = [
            {
                "name": field,
                "type": rule.type,
                "length": rule.length,
                "externalId": rule.external,
                "idLookup": rule.external or field == "Id",
                "createable": field != "Id",
                "updateable": field != "Id",
            }
            for field, rule in OBJECTS[name].items()
        ]
        return JSONResponse({"name": name, "fields": fields})

    def _query(self, request: Request, _content: bytes) -> Response:
        if len(str(request.url)) > 16_384:
            raise Refusal(414, self.error(414, "URI too long", "URI_TOO_LONG"))
        found = _QUERY.fullmatch(request.query_params.get("q", ""))
        if found is None or found[1] != found[3]:
            raise Refusal(400, self.error(400, "unexpected token", "MALFORMED_QUERY"))
        name, field = self._object(found[2]), found[1]
        if field not in OBJECTS[name]:
            raise Refusal(400, self.error(400, f"No such column '{field}'", "INVALID_FIELD"))
        wanted = {re.sub(r"\\(.)", r"\1", text) or number for text, number in _LITERAL.findall(found[4])}
        ids = [each for value in sorted(wanted) for each in self.ids_of(name, field, value)]
        records = [{"Id": each, field: self.get(name, each)[field]} for each in ids]
        return JSONResponse({"totalSize": len(records), "done": True, "records": records})

    def ids_of(self, name: str, field: str, value: str) -> list[str]:
        """Records with this value; texts without regard to case."""
        return list(self.get("index", f"{name}.{field}.{value.casefold()}") or [])

    def _object(self, name: str) -> str:
        if name not in OBJECTS:
            raise Refusal(404, self.error(404, "The requested resource does not exist"))
        return name

    def _make(self, _request: Request, content: bytes) -> Response:
        about = self.document(content)
        known = {"object", "operation", "contentType", "lineEnding", "columnDelimiter", "externalIdFieldName"}
        operation, external = about.get("operation"), about.get("externalIdFieldName")
        if set(about) - known or operation not in _OPERATIONS or about.get("contentType", "CSV") != "CSV":
            raise self._wrong("InvalidJob : unknown property or operation", "INVALIDJOB")
        if about.get("object") not in OBJECTS:
            raise self._wrong(f"InvalidJob : Unable to find object: {about.get('object')}", "INVALIDJOB")
        if (operation == "upsert") != (external is not None):
            raise self._wrong("InvalidJob : externalIdFieldName belongs to upserts", "INVALIDJOB")
        if external is not None and external not in external_ids(about["object"]):
            raise self._wrong(f"InvalidJob : {external} does not match an External ID", "INVALIDJOB")
        number = f"750R0000000{self.count('job') + 1:04d}AAA"
        job = {"id": number, "state": "Open", "lineEnding": "LF", **about, "uploads": []}
        self.put("job", number, job)
        return JSONResponse(_shown(job))

    def _upload(self, request: Request, content: bytes) -> Response:
        job = self._known(request)
        if job["state"] != "Open" or not request.headers.get("content-type", "").startswith("text/csv"):
            raise self._wrong("the job is not open, or the content is no CSV", "INVALIDJOBSTATE")
        self.put("job", job["id"], {**job, "uploads": [*job["uploads"], content.decode()]})
        return Response(status_code=201)

    def _change(self, request: Request, content: bytes) -> Response:
        job, state = self._known(request), self.document(content).get("state")
        running = state == "Aborted" and job["state"] in ("UploadComplete", "InProgress")
        if not running and (job["state"] != "Open" or state not in ("UploadComplete", "Aborted")):
            raise self._wrong(f"the state cannot change from {job['state']} to {state}", "INVALIDJOBSTATE")
        if state == "UploadComplete" and len(job["uploads"]) != 1:
            raise self._wrong(f"Found multiple contents for job: <{job['id']}>", "INVALIDJOBSTATE")
        job |= {"state": state, **(self._unread(job) if running else {})}
        self.put("job", job["id"], job)
        return JSONResponse(_shown(job))

    def _job(self, request: Request, _content: bytes) -> Response:
        job = self._known(request)
        if job["state"] == "UploadComplete":
            job["state"] = "InProgress"
        elif job["state"] == "InProgress" and self.get("slow", job["object"]) is None:
            job |= self._work(job)
        self.put("job", job["id"], job)
        return JSONResponse(_shown(job))

    def _unread(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Results of a job that ended before its first record."""
        reader = csv.DictReader(io.StringIO(job["uploads"][0], newline=""), strict=True)
        return {"names": list(reader.fieldnames or []), "done": [], "failed": [], "left": list(reader)}

    def _work(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """The job's records one by one. A header that names what is not there fails the job before the first."""
        content, unread = job["uploads"][0], self._unread(job)
        names, lines = unread["names"], unread["left"]
        unknown = [name for name in names if name not in OBJECTS[job["object"]]]
        only_id = job["operation"] == "delete" and names != ["Id"]
        if unknown or only_id or "\r\n" in content.partition("\n")[0] + "\n":
            message = f"InvalidBatch : Field name not found : {', '.join(unknown or names)}"
            return {"state": "Failed", "errorMessage": message, **unread}
        done, failed = [], []
        for line in lines:
            number, is_new, problem = self._record(job, line)
            if problem:
                failed.append({"sf__Id": number, "sf__Error": problem, **line})
            else:
                done.append({"sf__Id": number, "sf__Created": str(is_new).lower(), **line})
        return {"state": "JobComplete", "names": names, "done": done, "failed": failed, "left": []}

    def _record(self, job: Mapping[str, Any], line: Mapping[str, str]) -> tuple[str, bool, str]:
        """Id of one record, whether it is new, and its problem."""
        name, operation, external = job["object"], job["operation"], job.get("externalIdFieldName")
        if operation in ("update", "delete"):
            number = line["Id"]
            held = self.get(name, number)
            if held is None:
                return number, False, "ENTITY_IS_DELETED:entity is deleted:--"
        else:
            value = line.get(external, "") if external else ""
            if external and value in ("", "#N/A"):
                return "", False, f"MISSING_ARGUMENT:{external} not specified:{external} --"
            matching = self.ids_of(name, external, value) if external else []
            if len(matching) > 1:
                return (
                    "",
                    False,
                    f"DUPLICATE_EXTERNAL_ID:{external}: more than one record found for external id field:--",
                )
            number = matching[0] if matching else ""
            held = self.get(name, number) if number else {}
        if any(self.drop("lock", str(value)) for value in {**held, **line}.values()):
            return number, False, "UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record:--"
        if operation == "delete":
            self._index(name, number, held, {})
            self.drop(name, number)
            return number, False, ""
        if problem := problem_of(name, held, line):
            return number, False, problem
        is_new = not number
        number = number or self._next_id(name)
        record = stored(name, held, line) | {"Id": number}
        self._index(name, number, held, record)
        self.put(name, number, record)
        return number, is_new, ""

    def _next_id(self, name: str) -> str:
        """Ids are never given twice, also not after a delete."""
        number = (self.get("sequence", name) or 0) + 1
        self.put("sequence", name, number)
        return f"{name[:2].lower()}0R{number:011d}AAA"

    def _index(self, name: str, number: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Ids by external id."""
        for field in external_ids(name):
            for record, adds in ((before, False), (after, True)):
                if record.get(field) is not None:
                    value = str(record[field])
                    ids = [each for each in self.ids_of(name, field, value) if each != number]
                    self.put("index", f"{name}.{field}.{value.casefold()}", [*ids, number] if adds else ids)

    def _results(self, request: Request, part: str) -> Response:
        job = self._known(request)
        if job["state"] not in ("JobComplete", "Failed", "Aborted"):
            raise self._wrong("the job is not done", "INVALIDJOBSTATE")
        first = {"done": ["sf__Id", "sf__Created"], "failed": ["sf__Id", "sf__Error"], "left": []}[part]
        written = io.StringIO(newline="")
        writer = csv.DictWriter(written, [*first, *job["names"]], quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writeheader()
        writer.writerows(job[part])
        return Response(written.getvalue(), media_type="text/csv; charset=UTF-8")

    def _known(self, request: Request) -> dict[str, Any]:
        found: dict[str, Any] | None = self.get("job", request.path_params["id"])
        if found is None:
            raise Refusal(404, self.error(404, "The requested resource does not exist"))
        return found

    def _wrong(self, message: str, code: str) -> Refusal:
        return Refusal(400, self.error(400, message, code))


def _shown(job: Mapping[str, Any]) -> dict[str, Any]:
    hidden = ("uploads", "names", "done", "failed", "left")
    counts = {"numberRecordsProcessed": len(job.get("done", [])) + len(job.get("failed", []))}
    counts["numberRecordsFailed"] = len(job.get("failed", []))
    return {name: value for name, value in job.items() if name not in hidden} | counts
