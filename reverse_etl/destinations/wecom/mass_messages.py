"""Mass messages: tasks that a member of staff has to confirm. Rows with the same sender and content make one task.

Contract: developer.work.weixin.qq.com, documents 92135 (add_msg_template) and 93338 (records and results). There is no
idempotency key; a task whose answer was lost is looked for among the records of the last month.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from reverse_etl.destination import Batch, Outcome, Result, Row
from reverse_etl.destinations.wecom.calls import Calls, WeComRefusal, one_by_one

_CUSTOMERS_A_TASK = 10_000
_BYTES = 4_000
_MONTH_SECONDS = 30 * 86_400
_GROUP = ("sender", "content", "link_title", "link_url")


class MassMessages:
    """Creates tasks. Records are read once a run: doubts are settled before the run creates tasks of its own."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._tasks: dict[str, list[str]] | None = None
        self._results: dict[tuple[str, str], set[str] | None] = {}

    def write(self, batch: Batch) -> Result:
        """One task for each sender and content, and for each 10,000 customers of it."""
        portions: list[Sequence[Row]] = []
        for _, same in groupby(batch.rows, key=_group):
            rows = list(same)
            portions += [rows[start : start + _CUSTOMERS_A_TASK] for start in range(0, len(rows), _CUSTOMERS_A_TASK)]
        return one_by_one(portions, lambda rows: _create(self._calls, rows))

    def read_back(self, batch: Batch) -> dict[str, Mapping[str, Any] | None]:
        """Whether tasks were created; rows whose records cannot be read are left out."""
        if self._tasks is None:
            self._tasks = _records(self._calls)
        found: dict[str, Mapping[str, Any] | None] = {}
        for row in batch.rows:
            sender, customer = str(row.payload["sender"]), row.payload["external_userid"]
            results = [self._customers(msgid, sender) for msgid in self._tasks.get(str(row.payload["content"]), [])]
            if any(customers is not None and customer in customers for customers in results):
                found[row.key] = row.payload
            elif None not in results:
                found[row.key] = None
        return found

    def _customers(self, msgid: str, sender: str) -> set[str] | None:
        if (msgid, sender) not in self._results:
            try:
                self._results[msgid, sender] = _customers(self._calls, msgid, sender)
            except WeComRefusal:
                self._results[msgid, sender] = None
        return self._results[msgid, sender]


def _create(calls: Calls, rows: Sequence[Row]) -> dict[str, Outcome]:
    first = rows[0].payload
    if len(str(first["content"]).encode()) > _BYTES:
        return dict.fromkeys(
            (row.key for row in rows), Outcome("rejected", f"the content has more than {_BYTES} bytes", "too_long")
        )
    body: dict[str, Any] = {
        "chat_type": "single",
        "external_userid": [row.payload["external_userid"] for row in rows],
        "sender": first["sender"],
        "text": {"content": first["content"]},
    }
    if first.get("link_url"):
        link = {"title": first.get("link_title") or first["link_url"], "url": first["link_url"]}
        body["attachments"] = [{"msgtype": "link", "link": link}]
    try:
        answer = calls.post("add_msg_template", body, repeatable=False)
    except WeComRefusal as refusal:
        return {row.key: Outcome("rejected", str(refusal), refusal.code) for row in rows}
    task, failed = str(answer.get("msgid", "")), set(answer.get("fail_list") or [])
    no = Outcome("rejected", "WeCom would not deliver to this customer", "fail_list", task)
    done = Outcome("succeeded", request_id=task)
    return {row.key: no if row.payload["external_userid"] in failed else done for row in rows}


def _records(calls: Calls) -> dict[str, list[str]]:
    """Content -> ids of the tasks of the last month."""
    # The vendor's clock says what the last month is; nothing that is kept depends on ours.
    now = int(time.time())
    asked = {"chat_type": "single", "start_time": now - _MONTH_SECONDS, "end_time": now + 3_600, "limit": 100}
    records: dict[str, list[str]] = {}
    cursor = ""
    while True:
        answer = calls.post("get_groupmsg_list_v2", {**asked, "cursor": cursor})
        for task in answer["group_msg_list"]:
            records.setdefault(str((task.get("text") or {}).get("content", "")), []).append(task["msgid"])
        cursor = str(answer.get("next_cursor", ""))
        if not cursor:
            return records


def _customers(calls: Calls, msgid: str, sender: str) -> set[str]:
    """Customers of a task of one sender, whatever became of it."""
    customers: set[str] = set()
    cursor = ""
    while True:
        asked = {"msgid": msgid, "userid": sender, "limit": 1_000, "cursor": cursor}
        answer = calls.post("get_groupmsg_send_result", asked)
        customers |= {str(each["external_userid"]) for each in answer["send_list"]}
        cursor = str(answer.get("next_cursor", ""))
        if not cursor:
            return customers


def _group(row: Row) -> tuple[str, ...]:
    return tuple(str(row.payload.get(name) or "") for name in _GROUP)
