"""Tags of follow relations. Missing tags are created; only tags of our own group are put on or taken off.

Contract: developer.work.weixin.qq.com, documents 96320 (tag library) and 92697 (mark_tag).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

from reverse_etl.destination import Batch, Outcome, Result, Row
from reverse_etl.destinations.wecom.calls import Calls, WeComRefusal, one_by_one

_TAGS_A_CALL = 100
_NOT_A_RELATION = {84061, 40096}


class Tags:
    """Our group of the tag library, and who carries its tags."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._group_id = ""
        self._tag_ids: dict[str, str] | None = None

    def prepare(self, group_name: str) -> None:
        """Read our group of the tag library."""
        self._read_tags(group_name)

    def write(self, batch: Batch) -> Result:
        """One call of mark_tag for each follow relation among the rows, with all its additions and removals."""
        group_name = batch.options["tag_group"]
        wanted = {str(row.payload["tag_name"]) for row in batch.rows if row.operation != "delete"}
        refused = self._create_tags(wanted, group_name)
        relations = itertools.groupby(
            batch.rows, key=lambda row: (row.payload["userid"], row.payload["external_userid"])
        )
        return one_by_one((list(rows) for _, rows in relations), lambda rows: self._mark(rows, refused))

    def _mark(self, rows: Sequence[Row], refused: Mapping[str, str]) -> dict[str, Outcome]:
        tags = self._tag_ids or {}
        done, outcomes = Outcome("succeeded"), {}
        adding: list[Row] = []
        removing: list[Row] = []
        for row in rows:
            name = str(row.payload["tag_name"])
            if row.operation != "delete" and name in refused:
                outcomes[row.key] = Outcome("rejected", refused[name])
            elif name in tags:
                (removing if row.operation == "delete" else adding).append(row)
            elif row.operation == "delete":
                # A tag that is no longer in the library is on nobody.
                outcomes[row.key] = done
        if not adding and not removing:
            return outcomes
        body = {
            "userid": rows[0].payload["userid"],
            "external_userid": rows[0].payload["external_userid"],
            "add_tag": [tags[str(row.payload["tag_name"])] for row in adding],
            "remove_tag": [tags[str(row.payload["tag_name"])] for row in removing],
        }
        try:
            self._calls.post("mark_tag", body)
        except WeComRefusal as refusal:
            if refusal.errcode == 40068:
                # Somebody deleted a tag of ours while we ran: the next run reads the library again.
                self._tag_ids = None
            no = Outcome("rejected", str(refusal), refusal.code)
            # Where the relation has ended its tags have ended with it.
            gone = refusal.errcode in _NOT_A_RELATION
            outcomes |= {row.key: done if gone else no for row in removing}
            return outcomes | {row.key: no for row in adding}
        return outcomes | {row.key: done for row in [*adding, *removing]}

    def _read_tags(self, group_name: str) -> dict[str, str]:
        groups = self._calls.post("get_corp_tag_list", {}).get("tag_group", [])
        ours = [group for group in groups if group["group_name"] == group_name and not group.get("deleted")]
        self._group_id = ours[0]["group_id"] if ours else ""
        self._tag_ids = {tag["name"]: tag["id"] for group in ours for tag in group["tag"] if not tag.get("deleted")}
        return self._tag_ids

    def _create_tags(self, names: Iterable[str], group_name: str) -> dict[str, str]:
        """Create what is missing; name -> reason for what the vendor refuses."""
        tags = self._tag_ids if self._tag_ids is not None else self._read_tags(group_name)
        missing = sorted(set(names) - tags.keys())
        refused: dict[str, str] = {}
        for start in range(0, len(missing), _TAGS_A_CALL):
            refused |= self._create(missing[start : start + _TAGS_A_CALL], group_name)
        return refused

    def _create(self, names: list[str], group_name: str) -> dict[str, str]:
        group = {"group_id": self._group_id} if self._group_id else {"group_name": group_name}
        try:
            answer = self._calls.post("add_corp_tag", {**group, "tag": [{"name": name} for name in names]})
        except WeComRefusal as refusal:
            # Perhaps an earlier call created them and its answer was lost.
            tags = self._read_tags(group_name)
            still = [name for name in names if name not in tags]
            if not still:
                return {}
            if len(still) == 1:
                return {still[0]: str(refusal)}
            middle = len(still) // 2
            return self._create(still[:middle], group_name) | self._create(still[middle:], group_name)
        self._group_id = answer["tag_group"]["group_id"]
        assert self._tag_ids is not None  # noqa: S101 - read before anything is created
        self._tag_ids |= {tag["name"]: tag["id"] for tag in answer["tag_group"]["tag"]}
        return {}
