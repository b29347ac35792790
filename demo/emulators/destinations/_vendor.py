"""What emulated HTTP vendors share: a store, a list of calls, faults before and after the effect, and whole transactions.

A vendor subclasses `Vendor`, lists its routes and raises `Refusal` for what its contract refuses. A refusal takes back what
the call had done so far, unless the vendor says otherwise by answering instead of raising.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.emulators.destinations import Fates

Handler = Callable[[Request, bytes], Response]
_SCHEMA = """
create table if not exists held (kind text, id text, value text not null, primary key (kind, id));
create table if not exists call (no integer primary key, method text, path text, status integer);
"""


class Refusal(Exception):
    """An answer in the vendor's error shape."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(status))
        self.status, self.body, self.headers = status, body, dict(headers or {})


class Vendor:
    """State and rules of one account. `held` keeps JSON documents by kind and id."""

    name: str
    max_bytes = 10_000_000

    def __init__(self, state_dir: Path, faults: Fates) -> None:
        state_dir.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(state_dir / f"{self.name}.sqlite", check_same_thread=False, isolation_level=None)
        self._db.executescript("pragma journal_mode = wal; pragma synchronous = normal;" + _SCHEMA)
        self._faults = faults
        self._numbers = itertools.count(1 + (self._db.execute("select max(no) from call").fetchone()[0] or 0))
        # Numbers begin anew with the process, in a range of its own: no token is issued twice.
        self._tokens = itertools.count(1 + 1000 * (self._db.execute("select max(no) from call").fetchone()[0] or 0))

    # What a vendor says

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        """(method, path, handler)."""
        raise NotImplementedError

    def authorise(self, request: Request) -> None:
        """Raise Refusal for wrong or expired credentials."""
        raise NotImplementedError

    def error(self, status: int, message: str) -> Any:
        """The vendor's error document for a failure that is not of its rules: faults, bodies that are too large."""
        raise NotImplementedError

    def fault(self, status: int, message: str, retry_after: int | None) -> Refusal:
        """A failure that was asked for, in the vendor's shape."""
        return Refusal(status, self.error(status, message), self.fault_headers(retry_after))

    def fault_headers(self, retry_after: int | None) -> dict[str, str]:
        """How the vendor says when to come back."""
        return {} if retry_after is None else {"Retry-After": str(retry_after)}

    # The store

    def get(self, kind: str, key: str) -> Any:
        """A document, or None."""
        found = self._db.execute("select value from held where kind = ? and id = ?", (kind, key)).fetchone()
        return None if found is None else json.loads(found[0])

    def put(self, kind: str, key: str, value: Any) -> None:
        """Keep a document."""
        written = json.dumps(value, sort_keys=True, ensure_ascii=False)
        self._db.execute("insert or replace into held values (?, ?, ?)", (kind, key, written))

    def drop(self, kind: str, key: str) -> bool:
        """Forget a document; was it there?"""
        return self._db.execute("delete from held where kind = ? and id = ?", (kind, key)).rowcount > 0

    def count(self, kind: str) -> int:
        """How many documents of a kind there are."""
        return int(self._db.execute("select count(*) from held where kind = ?", (kind,)).fetchone()[0])

    def issue(self, prefix: str, seconds: int) -> str:
        """A new access token that stands for so many seconds."""
        token = f"{prefix}{next(self._tokens)}"
        self.put("token", token, {"expires_at": time.time() + seconds})
        return token

    def bearer(self, request: Request) -> bool:
        """Was the call's bearer token issued, and does it still stand?"""
        token = self.get("token", request.headers.get("authorization", "").removeprefix("Bearer "))
        return token is not None and bool(time.time() < token["expires_at"])

    # Rules of every call

    def app(self) -> Starlette:
        """The vendor as an application."""
        return Starlette(
            routes=[Route(path, self._guarded(handler), methods=[method]) for method, path, handler in self.routes()]
        )

    def _guarded(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            number = next(self._numbers)
            try:
                answer = await self._answer(request, handler, number)
            except Refusal as refusal:
                answer = JSONResponse(refusal.body, refusal.status, refusal.headers)
            self._db.execute(
                "insert into call values (?, ?, ?, ?)", (number, request.method, request.url.path, answer.status_code)
            )
            return answer

        return endpoint

    async def _answer(self, request: Request, handler: Handler, number: int) -> Response:
        fault = self._faults.fate(self.name, number, request.url.path)
        if fault is not None and fault.delay_seconds:
            await asyncio.sleep(fault.delay_seconds)
        failed = None
        if fault is not None:
            failed = self.fault(fault.status, "scripted failure", fault.retry_after)
            if not fault.after_effect:
                raise failed
        self.authorise(request)
        content = await request.body()
        if len(content) > self.max_bytes:
            raise Refusal(413, self.error(413, f"more than {self.max_bytes} bytes"))
        self._db.execute("begin immediate")
        try:
            answer = handler(request, content)
            self._db.execute("commit")
        except BaseException:
            self._db.execute("rollback")
            raise
        if failed is not None:
            raise failed
        return answer

    def document(self, content: bytes) -> dict[str, Any]:
        """The body as a JSON object. Raises Refusal."""
        try:
            body = json.loads(content)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Refusal(400, self.error(400, "the body is no JSON object"))
        return body
