"""A process that lands every source, one after the other, and builds nothing. Arguments: the sources that come last."""

from __future__ import annotations

import sys

from cdp.settings import get_settings
from cdp.sources import active_sources
from cdp.warehouse import writer_lock
from ingest.pipeline import run_source

if __name__ == "__main__":
    settings, last = get_settings(), sys.argv[1:]
    with writer_lock(settings):
        for _, document in sorted(active_sources(settings).items(), key=lambda s: (s[0] in last, s[0])):
            if not document.value.after_syncs:
                run_source(document.value, settings)
