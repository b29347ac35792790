"""An endpoint that takes Tributary's webhooks, as their README says: it checks signatures, keeps rows and events, and
answers a batch that it has seen as it did before.

`applied` counts how often an effect was carried out, so that a test can see what was done twice.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import sqlite3
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.emulators.destinations import Fates

SECRET = "whsec_" + base64.b64encode(b"the demo endpoint's own secret").decode()
_MOST_ROWS, _MOST_BYTES = 100, 1_200_000
_SCHEMA = """
create table if not exists held (sync text, key text, fields text not null, primary key (sync, key));
create table if not exists event (no integer primary key, sync text, key text, fields text not null);
create table if not exists seen (id text primary key, answer text not null);
create table if not exists applied (no integer primary key, sync text, operation text, key text, webhook_id text);
create table if not exists call (no integer primary key, path text, status integer, row_count integer, webhook_id text);
"""


def environment(base_url: str) -> dict[str, str]:
    """Lines of world.env."""
    return {"CDP_WEBHOOK__BASE_URL": base_url, "CDP_WEBHOOK__SECRET": SECRET}


def create_app(world_dir: Path, state_dir: Path, faults: Fates) -> Starlette:
    """The emulator. `world_dir` is not read: the endpoint holds only what it was sent."""
    endpoint = Endpoint(state_dir, faults)
    return Starlette(routes=[Route("/{path:path}", endpoint.receive, methods=["POST"])])


class Endpoint:
    """State and rules of one endpoint. Rows whose field `refuse` is set are rejected alone; `poison` refuses the call."""

    def __init__(self, state_dir: Path, faults: Fates) -> None:
        state_dir.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(state_dir / "webhook.sqlite", check_same_thread=False, isolation_level=None)
        self._db.executescript("pragma journal_mode = wal; pragma synchronous = normal;" + _SCHEMA)
        self._faults = faults
        self._numbers = itertools.count(1 + (self._db.execute("select max(no) from call").fetchone()[0] or 0))

    async def receive(self, request: Request) -> Response:
        """One call."""
        number, body = next(self._numbers), await request.body()
        fault = self._faults.fate("webhook", number, request.url.path)
        webhook_id, rows = request.headers.get("webhook-id", ""), 0
        if fault is not None and not fault.after_effect:
            answer: Response = _fault(fault.status, fault.retry_after)
        elif not _is_signed(request, body):
            answer = JSONResponse({"error": "the signature is wrong"}, 401)
        else:
            answer, rows = self._carried_out(webhook_id, body)
            if fault is not None:
                answer = _fault(fault.status, fault.retry_after)
        self._db.execute(
            "insert into call values (?, ?, ?, ?, ?)", (number, request.url.path, answer.status_code, rows, webhook_id)
        )
        return answer

    def _carried_out(self, webhook_id: str, body: bytes) -> tuple[Response, int]:
        try:
            told = json.loads(body)
            rows, operation, sync, mode = told["rows"], told["operation"], told["sync"], told["mode"]
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"error": "no batch"}, 400), 0
        if len(rows) > _MOST_ROWS or len(body) > _MOST_BYTES:
            return JSONResponse({"error": "too much"}, 413), len(rows)
        if any(row["fields"].get("poison") for row in rows):
            return JSONResponse({"error": "a row is poisoned"}, 422), len(rows)
        if len({row["key"] for row in rows}) != len(rows):
            return JSONResponse({"error": "a key is there twice"}, 422), len(rows)
        seen = self._db.execute("select answer from seen where id = ?", (webhook_id,)).fetchone()
        if operation == "append" and seen is not None:
            return JSONResponse(json.loads(seen[0])), len(rows)
        self._db.execute("begin immediate")
        results = [problem for row in rows if (problem := self._apply(sync, mode, operation, row, webhook_id))]
        self._db.execute("insert or replace into seen values (?, ?)", (webhook_id, json.dumps({"results": results})))
        self._db.execute("commit")
        return JSONResponse({"results": results}, headers={"x-request-id": f"call-{webhook_id[:8]}"}), len(rows)

    def _apply(
        self, sync: str, mode: str, operation: str, row: dict[str, Any], webhook_id: str
    ) -> dict[str, Any] | None:
        key, fields = row["key"], row["fields"]
        if fields.get("refuse"):
            return {"key": key, "status": "rejected", "code": "invalid", "message": f"refused {fields['refuse']}"}
        exists = self._db.execute("select 1 from held where sync = ? and key = ?", (sync, key)).fetchone()
        if operation == "write" and mode == "update_only" and not exists:
            return {"key": key, "status": "rejected", "code": "not_found", "message": "there is no such row"}
        if operation == "write" and mode == "create_only" and exists:
            return {"key": key, "status": "succeeded"}
        if operation == "append":
            self._db.execute(
                "insert into event (sync, key, fields) values (?, ?, ?)",
                (sync, key, json.dumps(fields, sort_keys=True)),
            )
        elif operation == "write":
            self._db.execute(
                "insert into held values (?, ?, ?) on conflict (sync, key) do update set fields = excluded.fields",
                (sync, key, json.dumps(fields, sort_keys=True)),
            )
        else:
            self._db.execute("delete from held where sync = ? and key = ?", (sync, key))
        self._db.execute(
            "insert into applied (sync, operation, key, webhook_id) values (?, ?, ?, ?)",
            (sync, operation, key, webhook_id),
        )
        return None


def _is_signed(request: Request, body: bytes) -> bool:
    signed = f"{request.headers.get('webhook-id', '')}.{request.headers.get('webhook-timestamp', '')}.".encode() + body
    secret = base64.b64decode(SECRET.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    return hmac.compare_digest(request.headers.get("webhook-signature", ""), expected)


def _fault(status: int, wait: int | None) -> Response:
    headers = {"Retry-After": str(wait)} if wait is not None else {}
    return JSONResponse({"error": "fault"}, status, headers)
