"""REST APIs through dlt's declarative REST source; pages are typed set-based like everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from cdp.declarations import suggest
from cdp.errors import DeclarationError, RunError
from cdp.settings import Settings, connection
from cdp.sources import Source, raw_table
from ingest.kinds.http import retrying_session
from ingest.landing import Lander
from ingest.objects import cursor_guard, land_changed, land_objects, latest, like


def rest_resources(dlt: Any, source: Source, settings: Settings, lander: Lander) -> list[Any]:
    """One resource a table. `{key}` in the YAML's client and endpoints is CDP_<SOURCE>__<KEY>.

    With `incremental`, only what the API tells as changed since the last cursor is read; rows whose cursor equals it are
    told apart by their content. Without, everything is read and what changed is landed.
    """
    from dlt.sources.rest_api import rest_api_resources

    keys = connection(source.name, settings)
    endpoints = {name: _endpoint(source, name, _filled(table.endpoint, keys)) for name, table in source.tables.items()}
    config = {
        "client": _filled(source.client, keys) | {"session": retrying_session(source)},
        "resources": [
            {"name": f"read_{name}", "endpoint": endpoint, "max_table_nesting": 0}
            for name, endpoint in endpoints.items()
        ],
    }

    def land(page: Any, table_name: str, path: str) -> Iterator[Any]:
        rows = page if isinstance(page, list) else [page]
        lands = land_objects if "incremental" in endpoints[table_name] else land_changed
        yield from lands(dlt, lander, table_name, rows, path)

    readers = {reader.name: reader for reader in rest_api_resources(config)}
    found = []
    for name, endpoint in endpoints.items():
        reader = readers[f"read_{name}"]
        if incremental := endpoint.get("incremental"):
            is_right, kind = like(incremental.get("initial_value"))
            reader.add_map(cursor_guard(str(incremental["cursor_path"]), is_right, kind, may_be_missing=True))
        landing = dlt.transformer(land, name=raw_table(source.name, name), write_disposition="append")
        found.append(reader | landing(name, str(endpoint.get("path", name))))
    return found


# What `incremental: {convert: ...}` of an endpoint may say: how the cursor is written in the request.
CONVERTERS: dict[str, Callable[[str], Any]] = {
    "epoch_seconds": lambda text: int(datetime.fromisoformat(text).timestamp()),
    "epoch_milliseconds": lambda text: int(datetime.fromisoformat(text).timestamp() * 1000),
    "date": lambda text: text[:10],
}


def _endpoint(source: Source, table_name: str, endpoint: dict[str, Any]) -> dict[str, Any]:
    """The endpoint as dlt takes it: converters as functions, times compared as times, answers without rows refused."""
    selector = endpoint.get("data_selector")
    if isinstance(selector, str) and all(part.isidentifier() for part in selector.split(".")):
        endpoint = endpoint | {"response_actions": [*endpoint.get("response_actions", []), _has(source, selector)]}
    incremental = endpoint.get("incremental")
    if not isinstance(incremental, dict):
        return endpoint
    changed: dict[str, Any] = {"on_cursor_value_missing": "include", "last_value_func": latest} | incremental
    if isinstance(changed.get("convert"), str):
        name = changed["convert"]
        if name not in CONVERTERS:
            raise DeclarationError(
                f'tables.{table_name}.endpoint.incremental.convert: unknown "{name}"',
                where=f"ingest/sources/{source.name}.yml",
                expected="one of " + ", ".join(CONVERTERS),
                fix=suggest(name, list(CONVERTERS)),
            )
        changed["convert"] = CONVERTERS[name]
    return endpoint | {"incremental": changed}


def _has(source: Source, selector: str) -> Callable[..., Any]:
    """A check of each answer: dlt takes an answer without the selected rows for one with none."""

    def check(response: Any, *_: Any, **__: Any) -> Any:
        response.raise_for_status()
        path = urlsplit(response.url).path
        try:
            found = response.json()
        except ValueError:
            raise RunError(
                f"the answer of {path} is no JSON",
                where=f"ingest/sources/{source.name}.yml",
                fix="check base_url and path: a web page or a proxy may have answered",
            ) from None
        for part in selector.split("."):
            if not isinstance(found, dict) or part not in found:
                raise RunError(
                    f'the answer of {path} has no "{selector}"',
                    where=f"ingest/sources/{source.name}.yml",
                    expected="the rows there, be it an empty list",
                    fix="correct data_selector, or look what the API answers now",
                )
            found = found[part]
        return response

    return check


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
