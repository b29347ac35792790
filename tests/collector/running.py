"""A real collector in a process of its own, in a folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import orjson

from cdp.settings import PROJECT_ROOT, Settings
from ingest.collector.segments import live, live_lines, read_sealed, sealed

KEYS = {
    "CDP_COLLECTOR__WEB_KEYS": "WRITE_KEY_1, WRITE_KEY_2, WK, kid, phc_KEY, app1",
    "CDP_COLLECTOR__SERVER_KEYS": "server-key",
    "CDP_COLLECTOR__SERVER_SIGNING_SECRETS": "new-secret-0123456789012345678901234, old-secret-0123456789012345678901234",
    "CDP_COLLECTOR__HOOKS_SECRETS": "hook-new, hook-old",
    "CDP_COLLECTOR__SHOPIFY_SECRETS": "shpss_1",
    "CDP_COLLECTOR__WECOM_TOKEN": "123456",
    "CDP_COLLECTOR__WECOM_AES_KEY": "kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR",
    "CDP_COLLECTOR__WECOM_RECEIVER": "wx49f0ab532d5d035a",
    "CDP_COLLECTOR__WECHAT_OA_TOKEN": "oatoken",
    "CDP_COLLECTOR__WECHAT_OA_AES_KEY": "kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR",
    "CDP_COLLECTOR__WECHAT_OA_RECEIVER": "wx49f0ab532d5d035a",
}


@dataclass
class Running:
    """A collector's process. Start it with `start`; what it started is ended by `stop`."""

    data: Path
    environment: dict[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[str] | None = None
    told: dict[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """The log's folder."""
        return self.data / "collector"

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> Settings:
        """What a load in this process reads."""
        return Settings(data_dir=self.data, _env_file=None)

    def start(self, **more: str) -> Running:
        """Start and wait until it listens. A port once taken is kept over restarts."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("CDP_")}
        environment = kept | {"CDP_DATA_DIR": str(self.data)} | KEYS | self.environment | more
        command = [str(Path(sys.executable).parent / "cdp"), "collector", "serve", "--port", str(self.port), "--json"]
        self.process = subprocess.Popen(
            command, cwd=PROJECT_ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        threading.Thread(target=self._drain, args=(self.process,), daemon=True).start()
        text = ""
        for line in self.process.stdout or []:
            text += line
            if line.startswith("}"):
                break
        else:
            self.process.wait()
            raise AssertionError("the collector did not start: " + "".join(self.errors))
        self.told = json.loads(text)
        self.port = int(self.told["port"])
        return self

    def kill(self) -> None:
        """kill -9."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        if self.process is None or self.process.poll() is not None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def post(self, path: str, body: Any, key: str = "WRITE_KEY_1", **options: Any) -> httpx.Response:
        """One request with a write key."""
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        auth = (key, "") if key else None
        return httpx.post(self.url + path, content=content, auth=auth, trust_env=False, timeout=30, **options)

    def records(self) -> list[dict[str, Any]]:
        """Everything that is in the log, in order. Live files first: one that is closed meanwhile is met again, and not missed."""
        lines: list[bytes] = []
        for segment in live(self.folder):
            with contextlib.suppress(FileNotFoundError):
                lines += [record for _, record in live_lines(segment.path)]
        kept = [line for segment in sealed(self.folder) for line in read_sealed(segment).splitlines()]
        number = orjson.loads(kept[-1])["sequence"] if kept else 0
        return [orjson.loads(line) for line in kept] + [r for r in map(orjson.loads, lines) if r["sequence"] > number]

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = httpx.get(self.url + "/metrics", trust_env=False).text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)

    def _drain(self, process: subprocess.Popen[str]) -> None:
        for line in process.stderr or []:
            self.errors.append(line)


def by_id(records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Records by message id; fails when one is there twice."""
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        assert record["messageId"] not in found, "a record is there twice"
        found[record["messageId"]] = record
    return found


def event(**fields: Any) -> dict[str, Any]:
    """A track event with an id of its own."""
    return {"type": "track", "event": "Tried", "messageId": str(uuid4()), "userId": "u-1"} | fields


def stored(collector: Running, *ids: str) -> list[dict[str, Any]]:
    """The records of these message ids, in their order, each there once."""
    found = by_id([r for r in collector.records() if r["messageId"] in ids])
    return [found[i] for i in ids]
