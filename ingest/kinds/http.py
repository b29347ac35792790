"""The HTTP session of all sources that are read over HTTP."""

from __future__ import annotations

import time
from typing import Any

from cdp.errors import RunError
from cdp.sources import Source

RETRIED = (408, 425, 429, 500, 502, 503, 504)
ATTEMPTS = 8
# A wait that the API asks for is kept up to this; beyond it the run ends and the next one tries.
LONGEST_WAIT_SECONDS = 300.0


def retrying_session(source: Source) -> Any:
    """A session that tries again what may be tried again, waits as it is told to, and keeps to the source's own rate.

    408, 425, 429 and 5xx are tried up to 8 times more with growing pauses (52 s in all); `Retry-After` is honoured, in
    seconds or as a date. A call hangs at most a minute.
    """
    from requests import Session
    from requests.adapters import HTTPAdapter
    from urllib3.util.retry import Retry

    class Patience(Retry):
        """Ends the run when the API asks for more patience than a run has."""

        def parse_retry_after(self, retry_after: str) -> float:
            seconds = float(super().parse_retry_after(retry_after))
            if seconds > LONGEST_WAIT_SECONDS:
                raise RunError(
                    f"the API asks to wait {seconds:.0f} s",
                    where=f"ingest/sources/{source.name}.yml",
                    expected=f"at most {LONGEST_WAIT_SECONDS:.0f} s",
                    fix="run again then; set requests_per_second to stay below the API's limit",
                )
            return seconds

    policy = Patience(
        total=ATTEMPTS,
        backoff_factor=0.25,
        backoff_max=20,
        status_forcelist=RETRIED,
        allowed_methods=None,
        respect_retry_after_header=True,
        retry_after_max=10**9,
        raise_on_status=False,
    )
    pause = 1 / source.requests_per_second if source.requests_per_second else 0.0

    class PacedAdapter(HTTPAdapter):
        """Leaves at least `pause` seconds between two calls."""

        last = float("-inf")

        def send(self, request: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            wait = PacedAdapter.last + pause - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            PacedAdapter.last = time.monotonic()
            kwargs["timeout"] = kwargs.get("timeout") or 60
            return super().send(request, **kwargs)

    session = Session()
    session.mount("http://", PacedAdapter(max_retries=policy))
    session.mount("https://", PacedAdapter(max_retries=policy))
    return session
