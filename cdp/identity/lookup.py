"""Finding an identifier by what somebody types."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from cdp.errors import DeclarationError


@dataclass(frozen=True)
class Found:
    """An identifier of the warehouse."""

    key: int
    type: str
    value: str
    blocked: str | None
    shared: bool
    fan_out: int

    @property
    def label(self) -> str:
        """`type:value`."""
        return f"{self.type}:{self.value}"


def find(con: duckdb.DuckDBPyConnection, name: str, number: int) -> Found:
    """The identifier called `type:value`, or by its value alone; spelling as sources have it is understood for e-mails and phones.

    Raises DeclarationError, which does not repeat the value: it may be somebody's address.
    """
    types = [
        t for (t,) in con.execute("select distinct identifier_type from identity.identifier order by 1").fetchall()
    ]
    kind, _, rest = name.partition(":")
    wanted, value = (kind, rest) if rest and kind in types else (None, name)
    spellings = sorted({value, value.strip(), value.strip().lower(), value.strip().upper(), *_phone(value)})
    rows = con.execute(
        "select identifier_key, identifier_type, identifier_value, blocked_reason, is_shared, fan_out from identity.identifier"
        " where list_contains($spellings, identifier_value) and coalesce(identifier_type = $wanted, true)"
        " order by identifier_type, identifier_value",
        {"spellings": spellings, "wanted": wanted},
    ).fetchall()
    where = f"identifier {number}"
    if not rows:
        raise DeclarationError(
            "is not known" + (f" as {wanted}" if wanted else ""),
            where=where,
            expected="type:value, the type being one of " + ", ".join(types),
        )
    if len(rows) > 1:
        raise DeclarationError(
            "stands for several identifiers: " + ", ".join(sorted({row[1] for row in rows})),
            where=where,
            fix="write type:value",
        )
    return Found(*rows[0])


def _phone(value: str) -> list[str]:
    from cdp.duckdb_functions import phone_e164
    from cdp.settings import get_settings

    found = phone_e164(value, get_settings().default_region)
    return [found] if found else []
