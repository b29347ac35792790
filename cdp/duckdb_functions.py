"""Functions that dbt adds to DuckDB: what is better done by a library than by SQL."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import duckdb
import phonenumbers
import pyarrow as pa
from dbt.adapters.duckdb.plugins import BasePlugin

from cdp.identity import components, replay

DIGITS = str.maketrans("０１２３４５６７８９＋（）－", "0123456789+()-")


@lru_cache(maxsize=500_000)
def phone_e164(text: str | None, region: str | None) -> str | None:
    """A phone number in E.164 (`+8613812345678`); None when it cannot be one.

    `region` (ISO 3166) is used for numbers without a country code. Possible length decides, not whether the range is
    in use: number plans change faster than any table.
    """
    if not text:
        return None
    cleaned = text.translate(DIGITS).strip()
    if cleaned.startswith("00"):
        cleaned = "+" + cleaned[2:]
    try:
        number = phonenumbers.parse(cleaned, region or None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def _phones(texts: pa.Array, regions: pa.Array) -> pa.Array:
    pairs = zip(texts.to_pylist(), regions.to_pylist(), strict=True)
    return pa.array([phone_e164(text, region) for text, region in pairs], pa.string())


def register(con: duckdb.DuckDBPyConnection) -> None:
    """Add `cdp_phone_e164(text, region)`, `cdp_components(edges)` and `cdp_replay_edges(edges, limits, pairs)` to a connection."""
    con.create_function(  # type: ignore[call-overload]  # its types know no Arrow functions
        "cdp_phone_e164", _phones, ["VARCHAR", "VARCHAR"], "VARCHAR", type="arrow", null_handling="special"
    )
    con.create_function(  # type: ignore[call-overload]
        "cdp_components", components.components_arrow, components.SQL_ARGUMENTS, components.SQL_RESULT, type="arrow"
    )
    con.create_function(  # type: ignore[call-overload]
        "cdp_replay_edges", replay.replay_arrow, list(replay.SQL_ARGUMENTS), replay.SQL_RESULT, type="arrow"
    )


class Plugin(BasePlugin):
    """Entry point for dbt-duckdb (`plugins:` in profiles.yml)."""

    def configure_connection(self, conn: Any) -> None:
        """Called for each new connection of dbt."""
        register(conn)
