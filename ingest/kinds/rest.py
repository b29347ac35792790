"""REST APIs through dlt's declarative REST source; pages are typed set-based like everything else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pyarrow as pa

from cdp.declarations import suggest
from cdp.errors import DeclarationError
from cdp.settings import Settings, connection
from cdp.sources import Source, raw_table
from ingest.json_rows import read_json_rows
from ingest.landing import Lander


def rest_resources(dlt: Any, source: Source, settings: Settings, lander: Lander) -> list[Any]:
    """One resource a table. `{key}` in the YAML's client is CDP_<SOURCE>__<KEY>.

    429 and 5xx are retried up to 8 times with growing pauses, `Retry-After` is honoured (seconds or a date).
    """
    from dlt.sources.rest_api import rest_api_resources

    keys = connection(source.name, settings)
    config = {
        "client": _filled(source.client, keys) | {"session": retrying_session(source)},
        "resources": [
            {"name": f"read_{name}", "endpoint": _converted(_filled(table.endpoint, keys)), "max_table_nesting": 0}
            for name, table in source.tables.items()
        ],
    }

    def land(page: Any, table_name: str, path: str) -> Iterator[Any]:
        yield from land_objects(dlt, lander, table_name, page if isinstance(page, list) else [page], path)

    found = []
    for (name, table), reader in zip(source.tables.items(), rest_api_resources(config), strict=True):
        path = str((table.endpoint or {}).get("path", name))
        found.append(
            reader | dlt.transformer(land, name=raw_table(source.name, name), write_disposition="append")(name, path)
        )
    return found


def land_objects(
    dlt: Any, lander: Lander, table_name: str, objects: list[dict[str, Any]], origin: str
) -> Iterator[Any]:
    """Land a page of JSON objects."""
    if not objects:
        return
    count = len(objects)
    lines = pa.table(
        {
            "_row": pa.array(range(count), pa.int64()),
            "_origin": pa.array([origin] * count, pa.string()),
            "_position": pa.array(range(1, count + 1), pa.int64()),
            "line": pa.array([json.dumps(o, ensure_ascii=False, default=str) for o in objects], pa.large_string()),
        }
    )
    relation, fields, rejected = read_json_rows(lander.con, lines, lander.source.tables[table_name])
    yield from lander.land(dlt, table_name, relation, fields, rejected)


def retrying_session(source: Source) -> Any:
    """An HTTP session that retries what may be retried, waits as told, and keeps to the source's own rate."""
    from requests import Session
    from requests.adapters import HTTPAdapter
    from urllib3.util.retry import Retry

    policy = Retry(
        total=8,
        backoff_factor=0.25,
        backoff_max=20,
        status_forcelist=(408, 425, 429, 500, 502, 503, 504),
        allowed_methods=None,
        respect_retry_after_header=True,
        raise_on_status=False,
    )
    pause = 1 / source.requests_per_second if source.requests_per_second else 0.0

    class PacedAdapter(HTTPAdapter):
        """Leaves at least `pause` seconds between two calls; a call hangs at most a minute."""

        last = 0.0

        def send(self, request: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            wait = self.last + pause - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            self.last = time.monotonic()
            kwargs["timeout"] = kwargs.get("timeout") or 60
            return super().send(request, **kwargs)

    session = Session()
    session.mount("http://", PacedAdapter(max_retries=policy))
    session.mount("https://", PacedAdapter(max_retries=policy))
    return session


# What `incremental: {convert: ...}` of an endpoint may say: how the cursor is written in the request.
CONVERTERS: dict[str, Callable[[str], Any]] = {
    "epoch_seconds": lambda text: int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()),
    "epoch_milliseconds": lambda text: int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000),
    "date": lambda text: text[:10],
}


def _converted(endpoint: dict[str, Any]) -> dict[str, Any]:
    """The endpoint with the named converter as a function."""
    incremental = endpoint.get("incremental")
    if isinstance(incremental, dict) and isinstance(incremental.get("convert"), str):
        name = incremental["convert"]
        if name not in CONVERTERS:
            raise DeclarationError(
                f'endpoint.incremental.convert: unknown "{name}"',
                expected="one of " + ", ".join(CONVERTERS),
                fix=suggest(name, list(CONVERTERS)),
            )
        return endpoint | {"incremental": incremental | {"convert": CONVERTERS[name]}}
    return endpoint


def _filled(value: Any, keys: dict[str, str]) -> Any:
    """`{key}` replaced by the connection's value; other braces are left for dlt."""
    if isinstance(value, str):
        for key, text in keys.items():
            value = value.replace("{" + key + "}", text)
        return value
    if isinstance(value, dict):
        return {k: _filled(v, keys) for k, v in value.items()}
    if isinstance(value, list):
        return [_filled(v, keys) for v in value]
    return value
