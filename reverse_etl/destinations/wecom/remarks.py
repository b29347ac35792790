"""What a member of staff has noted about a customer: remark, description, company, phone numbers.

Contract: developer.work.weixin.qq.com, documents 92115 (remark) and 92114 (get).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reverse_etl.destination import Batch, Outcome, Result, Row
from reverse_etl.destinations.wecom.calls import Calls, WeComRefusal, one_by_one

# Our field (as `remark` takes it) -> as `get` shows it.
_SHOWN = {
    "remark": "remark",
    "description": "description",
    "remark_company": "remark_corp_name",
    "remark_mobiles": "remark_mobiles",
}


def write(calls: Calls, batch: Batch) -> Result:
    """One call for each relation."""

    def note(rows: Sequence[Row]) -> dict[str, Outcome]:
        (row,) = rows
        body = {name: row.payload[name] for name in ("userid", "external_userid")}
        body |= {name: _written(name, row.payload[name]) for name in _SHOWN if name in row.payload}
        try:
            calls.post("remark", body)
        except WeComRefusal as refusal:
            return {row.key: Outcome("rejected", str(refusal), refusal.code)}
        return {row.key: Outcome("succeeded")}

    return one_by_one(([row] for row in batch.rows), note)


def read_back(calls: Calls, batch: Batch) -> dict[str, Mapping[str, Any] | None]:
    """What stands there. A customer is asked for once, however many members of staff follow her."""
    found: dict[str, Mapping[str, Any] | None] = {}
    customers = sorted({str(row.payload["external_userid"]) for row in batch.rows})
    follows = {customer: _follows(calls, customer) for customer in customers}
    for row in batch.rows:
        held = follows[str(row.payload["external_userid"])].get(str(row.payload["userid"]))
        found[row.key] = None if held is None else {name: _held(row, name, held) for name in row.payload}
    return found


def _follows(calls: Calls, customer: str) -> dict[str, dict[str, Any]]:
    """userid -> what this member has noted."""
    follows: dict[str, dict[str, Any]] = {}
    cursor = ""
    while True:
        try:
            answer = calls.get("get", {"external_userid": customer, "cursor": cursor})
        except WeComRefusal:
            # Nobody follows this customer any more.
            return follows
        follows |= {follow["userid"]: follow for follow in answer["follow_user"]}
        cursor = str(answer.get("next_cursor", ""))
        if not cursor:
            return follows


def _held(row: Row, name: str, held: Mapping[str, Any]) -> Any:
    """An empty note is none."""
    if name not in _SHOWN:
        return row.payload[name]
    value, ours = held.get(_SHOWN[name]) or None, row.payload[name] or None
    return row.payload[name] if value == ours else value


def _written(name: str, value: Any) -> Any:
    if name == "remark_mobiles":
        # One empty number takes all away.
        return value or [""]
    return value or ""
