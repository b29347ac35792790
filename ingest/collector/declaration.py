"""What `ingest/collector/inputs/<name>.yml` may say: one way into the collector, and who may use it."""

from __future__ import annotations

import re
from typing import Literal, get_args

from pydantic import Field, field_validator, model_validator

from cdp.declarations import Declaration, Document, load_folder
from cdp.settings import Settings, connection

EventType = Literal["track", "identify", "page", "screen", "group", "alias"]


class Webhook(Declaration):
    """How deliveries of a webhook prove where they come from."""

    verify: Literal["hmac", "shopify", "wecom", "wechat"] = Field(
        description="hmac: X-Timestamp and X-Signature; shopify: X-Shopify-Hmac-Sha256; wecom and wechat: their callbacks."
    )
    tolerance_seconds: int = Field(300, ge=10, le=86400, description="How old (or new) a signed time may be.")


class Input(Declaration):
    """One input of the collector. Its keys are settings: CDP_COLLECTOR__<NAME>_KEYS, several while they are rotated."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Equals the file's name; the column `source` in raw.")
    description: str
    owner: str
    channel: Literal["web", "app", "wechat", "mini_program", "store", "phone", "email", "fair", "survey", "coupon"] = (
        Field("web", description="Channel of its events.")
    )
    types: list[EventType] = Field(default=list(get_args(EventType)), description="Types of events it may send.")
    origins: list[str] = Field(
        default_factory=lambda: ["*"], description="Web pages that may send: https://shop.example, or * for any."
    )
    events_per_second: float | None = Field(None, gt=0, description="Beyond it clients are asked to wait.")
    webhook: Webhook | None = Field(None, description="Takes POST /v1/webhook/<name> instead of events.")

    @field_validator("origins")
    @classmethod
    def _are_origins(cls, origins: list[str]) -> list[str]:
        for origin in origins:
            if origin != "*" and not re.fullmatch(r"https?://[a-z0-9.\-*]+(:\d+)?", origin):
                raise ValueError(f'"{origin}" is no origin; write scheme and host, e.g. https://shop.example')
        return origins

    @model_validator(mode="after")
    def _webhooks_take_no_types(self) -> Input:
        if self.webhook and self.events_per_second:
            raise ValueError("events_per_second: only for inputs of events, not for webhooks")
        return self

    @property
    def needs(self) -> list[str]:
        """The settings without which it is off, each one of the comma separated alternatives."""
        prefix = self.name
        if self.webhook is None:
            return [f"{prefix}_keys"]
        if self.webhook.verify in ("hmac", "shopify"):
            return [f"{prefix}_secrets"]
        return [f"{prefix}_token", f"{prefix}_aes_key", f"{prefix}_receiver"]


def all_inputs(settings: Settings) -> dict[str, Document[Input]]:
    """Every declared input by name. Raises DeclarationError."""
    found: dict[str, Document[Input]] = {}
    for document in load_folder(settings.project_root / "ingest" / "collector" / "inputs", Input):
        if document.value.name != document.path.stem:
            raise document.error(
                ("name",), f'found "{document.value.name}"', expected=f'"{document.path.stem}", the name of its file'
            )
        found[document.value.name] = document
    return found


def input_settings(settings: Settings) -> dict[str, str]:
    """The settings of all inputs: keys, secrets, tokens (CDP_COLLECTOR__<INPUT>_<KEY>)."""
    return connection("collector", settings)


def listed(text: str) -> list[str]:
    """The parts of a comma separated setting."""
    return [part.strip() for part in text.split(",") if part.strip()]
