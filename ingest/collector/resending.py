"""Sends events of the log to another collector: with their message ids, so that it takes each once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import stamina

from cdp.errors import RunError
from ingest.collector.segments import read_sealed, sealed

BATCH = 100


def resend(folder: Path, url: str, key: str, since: str, until: str) -> int:
    """Send the events received from `since` to before `until`; how many. Raises RunError when they are refused."""
    sent = 0
    with httpx.Client(base_url=url, auth=(key, ""), timeout=30, trust_env=False) as client:
        for batch in _batches(folder, since, until):
            _post(client, batch)
            sent += len(batch)
    return sent


def _batches(folder: Path, since: str, until: str) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for segment in sealed(folder, since=since[:10]):
        for line in read_sealed(segment).splitlines():
            if not line.startswith(b'{"sequence"'):
                continue
            record = orjson.loads(line)
            if since <= record["receivedAt"] < until:
                batch.append(_as_sent(record))
                if len(batch) == BATCH:
                    yield batch
                    batch = []
    if batch:
        yield batch


def _as_sent(record: dict[str, Any]) -> dict[str, Any]:
    """The event without what the collector added. Its time is corrected already: no `sentAt` corrects it again."""
    added = ("sequence", "source", "receivedAt", "sentAt", "originalTimestamp", "channel", "violations")
    return {k: v for k, v in record.items() if k not in (*added, "extra")} | (record.get("extra") or {})


@stamina.retry(on=(httpx.TransportError, httpx.HTTPStatusError), attempts=6, timeout=120)
def _try(client: httpx.Client, body: bytes) -> httpx.Response:
    response = client.post("/v1/batch", content=body, headers={"content-type": "application/json"})
    if response.status_code == 429 or response.status_code >= 500:
        response.raise_for_status()
    return response


def _post(client: httpx.Client, batch: list[dict[str, Any]]) -> None:
    try:
        response = _try(client, orjson.dumps({"batch": batch}))
    except (httpx.TransportError, httpx.HTTPStatusError) as error:
        raise RunError(
            f"the other collector does not take events: {type(error).__name__}",
            where=str(client.base_url),
            fix="look whether it is up; what it took before it takes again without counting it twice",
        ) from None
    if response.status_code != 200:
        raise RunError(
            f"the other collector refused events: {response.json().get('code')}",
            where=str(client.base_url),
            expected="200",
            fix="check the key and its allowed types",
        )
