"""The consent gate: purpose and person are checked again at the moment of sending, against the latest decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdp.errors import BusyError, ConfigurationError
from cdp.settings import Settings
from cdp.warehouse import reading
from reverse_etl.catalog import ResolvedSync
from reverse_etl.destination import Outcome

if TYPE_CHECKING:
    import pyarrow as pa

RELATION = "profiles.person_consent"
# Taking something away needs nobody's consent.
_FREE = ("delete", "merge", "unchanged")


class ConsentGate:
    """Decides row by row, set-based. Without `person` (only for `service`) everything passes."""

    def __init__(self, resolved: ResolvedSync, settings: Settings) -> None:
        self._resolved, self._settings = resolved, settings
        self._seen: tuple[object, ...] = ()

    @property
    def is_open(self) -> bool:
        """Nothing is to be checked: the purpose is `service`, which needs no consent."""
        return self._resolved.sync.consent_purpose == "service"

    def moved(self) -> bool:
        """The warehouse was written or published since the last check, so consents may have changed."""
        return not self.is_open and self._signature() != self._seen

    def check(self, operations: pa.Table) -> tuple[pa.Table, dict[str, Outcome]]:
        """Rows that may go, each with the id of the record it relies on; and key -> outcome of those that may not.

        Raises ConfigurationError when the latest decisions cannot be read: then nothing may go.
        """
        if self.is_open or not operations.num_rows:
            return operations, {}
        import duckdb

        self._seen = self._signature()
        try:
            return self._judge(operations, live=True)
        except (BusyError, duckdb.Error):
            # A run is writing: the published copy has the latest decisions that are complete.
            pass
        try:
            return self._judge(operations, live=False)
        except duckdb.Error as error:
            raise ConfigurationError(
                f"consent cannot be checked, so nothing is sent: {str(error).splitlines()[0]}",
                where=RELATION,
                expected="person_id, purpose, is_granted and record_id",
                fix="run `dbt build --select person_consent`",
            ) from None

    def _judge(self, operations: pa.Table, *, live: bool) -> tuple[pa.Table, dict[str, Outcome]]:
        import pyarrow as pa
        import pyarrow.compute as pc

        place = operations.schema.get_field_index("consent_record")
        with reading(self._settings, live=live) as con:
            # No order is promised by a join, so positions go along.
            planned = operations.select(["key", "operation", "person"])
            con.register("planned", planned.append_column("position", pa.array(range(planned.num_rows), pa.int64())))
            free = ", ".join(f"'{operation}'" for operation in _FREE)
            judged = con.sql(
                f"""
                select
                  case when planned.operation in ({free}) or consents.is_granted then '' else
                    case when planned.person is null then 'the row has no person'
                      when consents.person_id is null then 'no decision about the purpose is known'
                      else 'consent was withdrawn' end
                  end as reason,
                  case when planned.operation not in ({free}) then consents.record_id end as record_id
                from planned
                left join (select * from {RELATION} where purpose = ?) as consents
                  on cast(consents.person_id as varchar) = planned.person
                order by planned.position
                """,
                params=[self._resolved.sync.consent_purpose],
            ).to_arrow_table()
        if judged.num_rows != operations.num_rows:
            raise ConfigurationError(
                "consent cannot be checked, so nothing is sent: a person has two decisions about one purpose",
                where=RELATION,
                expected="one row a person and purpose",
                fix="run the data tests of person_consent",
            )
        marked = operations.set_column(place, "consent_record", judged["record_id"])
        allowed = pc.equal(judged["reason"], "")
        refused = pc.invert(allowed)
        reasons = judged["reason"].filter(refused).to_pylist()
        keys = operations["key"].filter(refused).to_pylist()
        outcomes = {k: Outcome("suppressed", reason, "no_consent") for k, reason in zip(keys, reasons, strict=True)}
        return marked.filter(allowed), outcomes

    def _signature(self) -> tuple[object, ...]:
        found: list[object] = []
        for path in (self._settings.warehouse_path, self._settings.published_path):
            try:
                stat = path.stat()
                found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
            except FileNotFoundError:
                found.append(None)
        return tuple(found)
