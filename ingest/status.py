"""Whether a source has something new, told cheaply and without the warehouse (a run may hold it)."""

from __future__ import annotations

from cdp.errors import ConfigurationError
from cdp.settings import Settings
from cdp.sources import Source
from ingest.pipeline import FILE_KINDS, has_new, remains, working_folder


def has_new_data(source: Source, settings: Settings) -> bool:
    """Whether a run would read something.

    Of files: from their names, sizes and times alone. APIs and databases cannot be asked without reading them, so they
    always may have something: when they are read is a matter of the schedule.
    """
    if source.kind not in (*FILE_KINDS, "collector"):
        return True
    working = working_folder(source, settings)
    if remains(working):
        return True
    try:
        return has_new(source, settings)
    except ConfigurationError:
        return False  # nothing can be read; the run itself says what is missing
