"""Who may send what: write keys, signed server keys, origins, rates."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import jwt

from cdp.errors import ConfigurationError
from cdp.settings import Settings
from ingest.collector.bodies import Refused
from ingest.collector.declaration import Input, all_inputs, input_settings, listed

ALGORITHM = "HS256"


@dataclass
class Door:
    """An input that is open: its declaration, its secrets, and how much it may still take."""

    input: Input
    secrets: dict[str, list[str]]
    types: frozenset[str]
    _tokens: float = 0.0
    _filled_at: float = field(default_factory=monotonic)

    def admit(self, events: int) -> None:
        """Take events off the input's rate. Raises Refused with the seconds to wait."""
        rate = self.input.events_per_second
        if rate is None:
            return
        now = monotonic()
        # a second's worth may come at once, and so may one batch that is larger than that
        self._tokens = min(max(rate, 1.0), self._tokens + (now - self._filled_at) * rate)
        self._filled_at = now
        if self._tokens <= 0:
            wait = max(1, round(-self._tokens / rate + 0.5))
            raise Refused(
                429, "too_many_events", f"{self.input.name} may send {rate:g} events a second", retry_after=wait
            )
        self._tokens -= events

    def check_origin(self, origin: str) -> None:
        """Raises Refused when a page of another origin sends."""
        if origin and not any(_matches(allowed, origin) for allowed in self.input.origins):
            raise Refused(403, "origin_not_allowed", f"this page may not send to {self.input.name}")


class Doors:
    """All open inputs, by key and by name."""

    def __init__(self, inputs: Mapping[str, Input], values: Mapping[str, str]) -> None:
        self._by_key: dict[str, Door] = {}
        self._by_name: dict[str, Door] = {}
        self.closed: dict[str, list[str]] = {}
        for name, found in inputs.items():
            missing = [f"CDP_COLLECTOR__{key.upper()}" for key in found.needs if not values.get(key)]
            if missing:
                self.closed[name] = missing
                continue
            prefix = f"{name}_"
            secrets = {k.removeprefix(prefix): listed(v) for k, v in values.items() if k.startswith(prefix)}
            door = Door(found, secrets, frozenset(found.types))
            door._tokens = max(found.events_per_second or 0.0, 1.0)
            self._by_name[name] = door
            if found.webhook is None:
                for key in secrets["keys"]:
                    other = self._by_key.setdefault(key, door)
                    if other is not door:
                        raise ConfigurationError(
                            f"{other.input.name} and {name} have the same write key",
                            where=f"CDP_COLLECTOR__{name.upper()}_KEYS",
                            fix="give each input keys of its own",
                        )

    @property
    def names(self) -> list[str]:
        """The open inputs."""
        return list(self._by_name)

    def of(self, kind: str, key: str, body: Any) -> Door:
        """The input that a request is for. `kind`, `key`: what its headers say; else its body does. Raises Refused."""
        if kind == "token":
            return self.by_token(key)
        return self.by_key(key or _written_in(body))

    def by_key(self, key: str) -> Door:
        """The input of a write key. Raises Refused."""
        door = self._by_key.get(key)
        if door is None:
            raise Refused(401, "unknown_write_key", "the write key is missing or not known")
        return door

    def by_token(self, token: str) -> Door:
        """The input of a signed server key. Raises Refused."""
        try:
            name = str(jwt.decode(token, options={"verify_signature": False}).get("sub", ""))
        except jwt.PyJWTError:
            raise Refused(401, "invalid_token", "the bearer token cannot be read") from None
        door = self._by_name.get(name)
        if door is None or door.input.webhook:
            raise Refused(401, "invalid_token", "the bearer token is not for an input")
        for secret in door.secrets.get("signing_secrets", []):
            try:
                jwt.decode(token, secret, algorithms=[ALGORITHM], options={"require": ["exp", "sub"]})
            except jwt.ExpiredSignatureError:
                raise Refused(401, "expired_token", "the bearer token has expired") from None
            except jwt.PyJWTError:
                continue
            return door
        raise Refused(401, "invalid_token", "the bearer token is not signed by a key of an input")

    def webhook(self, name: str) -> Door:
        """The webhook of a name. Raises Refused."""
        door = self._by_name.get(name)
        if door is None or door.input.webhook is None:
            raise Refused(404, "unknown_webhook", "there is no such webhook, or its secrets are not set")
        return door

    def allows(self, origin: str) -> bool:
        """Whether any input takes events from a page: a preflight comes without a key."""
        return any(_matches(a, origin) for door in self._by_name.values() for a in door.input.origins)


def open_doors(settings: Settings) -> Doors:
    """The inputs whose keys are set. Raises ConfigurationError when none is, DeclarationError."""
    doors = Doors({n: d.value for n, d in all_inputs(settings).items()}, input_settings(settings))
    if not doors.names:
        wanted = sorted({key for keys in doors.closed.values() for key in keys})
        raise ConfigurationError(
            "no input has a key",
            where="environment or .env",
            expected="one of " + ", ".join(wanted) if wanted else "a file in ingest/collector/inputs",
            fix="set the keys of the inputs that are to be open; any text that is hard to guess",
        )
    return doors


def signed_key(
    settings: Settings, name: str, days: int, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> str:
    """A server key: a JSON Web Token (RFC 7519, HS256) for one input. Raises ConfigurationError."""
    secrets = listed(input_settings(settings).get(f"{name}_signing_secrets", ""))
    if name not in all_inputs(settings) or not secrets:
        raise ConfigurationError(
            "cannot sign keys",
            where=name,
            expected=f"an input of that name, and CDP_COLLECTOR__{name.upper()}_SIGNING_SECRETS",
            fix="set the secret, 32 characters or more",
        )
    moment = now()
    return jwt.encode(
        {"sub": name, "iat": moment, "exp": moment + timedelta(days=days)}, secrets[0], algorithm=ALGORITHM
    )


def _written_in(body: Any) -> str:
    """The write key in a body: of Segment's and PostHog's envelope, or of its first event. Snowplow has an application's id."""
    if not isinstance(body, dict):
        return ""
    written = body.get("writeKey") or body.get("api_key")
    for envelope, name in (("batch", "writeKey"), ("data", "aid")):
        events = body.get(envelope)
        if not written and isinstance(events, list) and events and isinstance(events[0], dict):
            written = events[0].get(name)
    return written if isinstance(written, str) else ""


def _matches(allowed: str, origin: str) -> bool:
    if allowed in ("*", origin):
        return True
    return "*" in allowed and re.fullmatch(re.escape(allowed).replace(r"\*", "[a-z0-9.-]+"), origin) is not None
