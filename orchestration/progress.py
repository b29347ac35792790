"""A logger that tells step events to whoever listens, for the progress display of `cdp run`."""

from __future__ import annotations

import logging
from collections.abc import Callable

import dagster as dg

# (step, "start" | "success" | "failure" | "skipped" | "retry"); set by orchestration.run for the time of a run
Listener = Callable[[str, str], None]
listeners: list[Listener] = []

_STATES = {
    "STEP_START": "start",
    "STEP_SUCCESS": "success",
    "STEP_FAILURE": "failure",
    "STEP_SKIPPED": "skipped",
    "STEP_UP_FOR_RETRY": "retry",
}


class _Teller(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Pass a step event on."""
        event = getattr(record, "dagster_meta", {}).get("dagster_event")
        state = _STATES.get(getattr(event, "event_type_value", ""))
        if event is not None and state:
            for listener in listeners:
                listener(str(event.step_key), state)


@dg.logger({}, description="Tells step events to the progress display; prints nothing.")
def progress_logger(init_context: dg.InitLoggerContext) -> logging.Logger:
    """The logger named `progress` in run configuration."""
    logger = logging.Logger("cdp.progress", level=logging.DEBUG)
    logger.addHandler(_Teller())
    return logger
