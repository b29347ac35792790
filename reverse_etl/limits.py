"""Judges a plan by its sync's blast radius."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reverse_etl.declaration import Sync


def violations_of(counts: Mapping[str, int], sync: Sync) -> Iterator[str]:
    """Each limit that the plan breaks, as a sentence with the figures and the limit's key.

    Creates are left out of the percentage: after an outage the first rows of a large source are many, and rightly so.
    """
    limits = sync.limits
    source, valid, known = counts["source"], counts["valid"], counts["acknowledged"]
    removed = counts["delete"] + counts["merge"] if sync.mode != "delete" else 0
    if source > limits.max_rows:
        yield f"the source has {source:,} rows; limits.max_rows is {limits.max_rows:,}"
    if removed and valid <= 0:
        yield f"the source has no valid row, and {removed:,} rows would be deleted"
    elif removed and known >= max(limits.min_rows_for_percent, 1) and 100 * valid < limits.min_source_percent * known:
        yield (
            f"the source has {valid:,} valid rows and {known:,} are acknowledged ({100 * valid / known:.1f} %), and "
            f"{removed:,} rows would be deleted; limits.min_source_percent is {limits.min_source_percent:g}"
        )
    if counts["delete"] + counts["merge"] > limits.max_deletes:
        told = counts["delete"] + counts["merge"]
        yield f"{told:,} rows would be deleted; limits.max_deletes is {limits.max_deletes:,}"
    # What is sent again on a person's decision (reset) is not judged by the share of rows that change.
    changed = counts["acknowledged_update"] + counts["acknowledged_delete"] - counts["reset"]
    if known >= max(limits.min_rows_for_percent, 1) and 100 * changed > limits.max_change_percent * known:
        yield (
            f"{changed:,} of {known:,} acknowledged rows would change ({100 * changed / known:.1f} %); "
            f"limits.max_change_percent is {limits.max_change_percent:g}"
        )
    invalid = counts["invalid"]
    if source >= max(limits.min_rows_for_percent, 1) and 100 * invalid > limits.max_invalid_percent * source:
        yield (
            f"{invalid:,} of {source:,} rows are invalid ({100 * invalid / source:.1f} %); "
            f"limits.max_invalid_percent is {limits.max_invalid_percent:g}"
        )
