"""When the next call may go out: token buckets, retries with back-off, the run's deadline and its stop.

One Pace belongs to one run and is shared by all its threads, so a Retry-After told to one of them holds all of them.
Durations are measured with the monotonic clock: a jump of the wall clock changes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from reverse_etl.destination import UnavailableError
from reverse_etl.destination_spec import Rate, Retry

T = TypeVar("T")

# Within the retry of a call: what is waited first, then twice as much each time, up to the spec's longest wait.
_GROWTH = 2.0


class TryAgain(Exception):
    """The answer asks for another try: after how many seconds (None: by back-off), and was it perhaps applied?"""

    def __init__(
        self, reason: str, after: float | None = None, *, effect_unknown: bool = False, code: str = ""
    ) -> None:
        super().__init__(reason)
        self.after, self.effect_unknown, self.code = after, effect_unknown, code


class Stopped(UnavailableError):
    """The run was asked to stop, or its time is over, before the call went out."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, effect_unknown=False, code="stopped")


class Bucket:
    """A token bucket: full at first, one token a call, refilled evenly.

    It holds a tenth of the period's calls and refills by the rest, so that no period of that length, wherever it begins,
    sees more calls than the vendor allows.
    """

    def __init__(self, rate: Rate, now: float) -> None:
        self._capacity = max(rate.calls / 10, 1.0)
        self._per_second = (rate.calls - self._capacity if rate.calls > self._capacity else rate.calls) / rate.seconds
        self._tokens, self._at = self._capacity, now

    def wait(self, now: float) -> float:
        """Take one token; seconds until it is there."""
        self._tokens = min(self._capacity, self._tokens + max(0.0, now - self._at) * self._per_second)
        self._at = max(now, self._at)
        self._tokens -= 1
        return max(0.0, -self._tokens / self._per_second)


class Pace:
    """The clock of one run's calls. Thread-safe."""

    def __init__(
        self,
        retry: Retry,
        rates: Sequence[Rate] = (),
        *,
        seconds_left: float | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        """`sleep` replaces waiting in tests."""
        self._retry, self._monotonic, self._sleep = retry, monotonic, sleep
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._buckets = [Bucket(rate, monotonic()) for rate in rates]
        self._deadline = None if seconds_left is None else monotonic() + seconds_left
        self._closed_until = 0.0
        self.calls = 0

    def stop(self) -> None:
        """No further call begins; those under way end."""
        self._stop.set()

    @property
    def stopped(self) -> str:
        """Why no further call may begin; empty while one may."""
        if self._stop.is_set():
            return "the run was asked to stop"
        if self._deadline is not None and self._monotonic() >= self._deadline:
            return "the run's time is over"
        return ""

    def take(self) -> None:
        """Wait until a call may go out. Raises Stopped."""
        with self._lock:
            now = self._monotonic()
            wait = max([0.0, self._closed_until - now, *(bucket.wait(now) for bucket in self._buckets)])
            self.calls += 1
        self._wait(wait)

    def call(self, attempt: Callable[[], T], *, repeatable: bool = True) -> T:
        """Run `attempt` until it raises no TryAgain. Raises UnavailableError when the budget is used up.

        Each attempt waits for its token first. No reason carries more than `attempt` put into it. What is not
        `repeatable` (a message to a person) is tried again only where the attempt had certainly no effect.
        """
        retry, begun, unknown, wait = self._retry, self._monotonic(), False, self._retry.first_wait_seconds
        for number in range(1, retry.attempts + 1):
            try:
                self.take()
            except Stopped as stopped:
                raise UnavailableError(str(stopped), effect_unknown=unknown, code="stopped") from None
            try:
                return attempt()
            except TryAgain as again:
                unknown = unknown or again.effect_unknown
                asked = again.after
                if asked is not None and asked <= retry.longest_wait_seconds:
                    self._close_for(asked)
                too_long = asked is not None and asked > retry.longest_wait_seconds
                pause = 0.0 if asked is not None else wait
                out_of_time = self._monotonic() - begun + pause > retry.budget_seconds
                risky = unknown and not repeatable
                if too_long or out_of_time or risky or number == retry.attempts:
                    told = f"; it asks to wait {asked:g} s" if asked else ""
                    raise UnavailableError(
                        f"no usable answer: {again}{told}", effect_unknown=unknown, code=again.code or "unavailable"
                    ) from None
                if pause:
                    try:
                        self._wait(pause)
                    except Stopped as stopped:
                        raise UnavailableError(str(stopped), effect_unknown=unknown, code="stopped") from None
                    wait = min(wait * _GROWTH, retry.longest_wait_seconds)
        raise AssertionError("unreachable")

    def _close_for(self, seconds: float) -> None:
        with self._lock:
            self._closed_until = max(self._closed_until, self._monotonic() + seconds)

    def _wait(self, seconds: float) -> None:
        if reason := self.stopped:
            raise Stopped(reason)
        if seconds <= 0:
            return
        if self._sleep is not None:
            self._sleep(seconds)
            return
        left = seconds if self._deadline is None else min(seconds, self._deadline - self._monotonic())
        if self._stop.wait(max(left, 0.0)) or left < seconds:
            raise Stopped(self.stopped or "the run's time is over")
