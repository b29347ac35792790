"""Imported last by the process that others are forked from: they look for garbage rarely, and never in what they share."""

from __future__ import annotations

import gc

from cdp.garbage import collect_rarely

collect_rarely()
gc.collect()
gc.freeze()
