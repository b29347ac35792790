"""Slack's client before an emulated workspace: what it refuses, what is not said twice, and what is found again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from cdp.errors import ConfigurationError
from demo.emulators.destinations import slack
from demo.emulators.faults import Fault
from reverse_etl import engine
from reverse_etl.destination import BatchRejectedError, UnavailableError
from tests.reverse_etl.conftest import Project, Script, Vendor, serving
from tests.reverse_etl.destinations.shared import Account, account, batch

HELLO = {"channel": "C0CRM", "text": "Anna <anna@example.com> & <!channel>"}
AS_OF = "2026-03-01T00:00:00"
COLUMNS = {"id": "varchar", "person_id": "varchar", "channel": "varchar", "line": "varchar"}
SYNC = """
name: news
description: Messages of the tests.
owner: tests
source: snd_slack__news
destination: slack
object: {object}
key: id
person: person_id
mode: append
fields: {fields}
consent_purpose: service
schedule: "15 * * * *"
"""


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Account]:
    with account(slack, tmp_path) as made:
        yield made


def post(there: Account, kind: str = "messages", escape: str = "yes", **fields: str) -> str:
    payload = {**HELLO, **fields} if kind == "messages" else {"text": HELLO["text"], **fields}
    return there.client.write(batch(kind, [payload], "append", "append", escape=escape)).outcome("r0").status


def test_a_message_says_what_it_says_and_calls_nobody(there: Account) -> None:
    there.client.prepare("messages", [], {})
    assert post(there) == "succeeded"
    assert post(there, escape="no", text="*bold*", blocks='[{"type": "divider"}]') == "succeeded"
    first, second = there.held("message").values()
    assert first["text"] == "Anna &lt;anna@example.com&gt; &amp; &lt;!channel&gt;"
    assert (second["text"], second["blocks"]) == ("*bold*", [{"type": "divider"}])
    assert post(there, thread_ts=first["ts"]) == "succeeded"
    assert list(there.held("message").values())[2]["thread_ts"] == first["ts"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"channel": "C0NONE"}, "channel_not_found"),
        ({"channel": "C0OLD"}, "is_archived"),
        ({"channel": "C0NEWS"}, "restricted_action"),
        ({"channel": "C0BOARD"}, "not_in_channel"),
        ({"text": "x" * 40_001}, "msg_too_long"),
        ({"blocks": "[{}]"}, "invalid_blocks"),
        ({"blocks": "{not JSON"}, "invalid_blocks_format"),
    ],
)
def test_what_slack_refuses_with_200_is_no_success(there: Account, fields: dict[str, str], code: str) -> None:
    with pytest.raises(BatchRejectedError) as told:
        post(there, **fields)
    assert told.value.code == code
    assert code in there.spec.errors
    assert there.held("message") == {}


def test_webhooks_answer_with_words(there: Account) -> None:
    assert post(there, "webhook_messages") == "succeeded"
    with pytest.raises(BatchRejectedError, match="invalid_blocks"):
        post(there, "webhook_messages", blocks="[{}]")
    assert len(there.held("message")) == 1


def test_a_limit_is_waited_for_and_a_lost_answer_is_not_repeated(there: Account) -> None:
    there.script.by_number = {1: Fault(429, retry_after=7), 3: Fault(500, after_effect=True)}
    assert post(there) == "succeeded"
    with pytest.raises(UnavailableError) as told:
        post(there)
    assert told.value.effect_unknown
    assert there.calls() == [429, 200, 500]
    assert len(there.held("message")) == 2, "the second was said, and not said again"


def test_the_channel_tells_what_arrived_unless_too_much_was_said_since(
    there: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(there)
    thread = str(next(iter(there.held("message").values()))["ts"])
    asked = batch(
        "messages", [HELLO, {**HELLO, "text": "never sent"}, {**HELLO, "thread_ts": thread}], "append", "append"
    )
    assert there.client.read_back(asked) == {"r0": HELLO, "r1": None, "r2": None}
    for _ in range(3):
        post(there, "webhook_messages")
    monkeypatch.setattr("reverse_etl.destinations.slack.client._PAGE", 1)
    monkeypatch.setattr("reverse_etl.destinations.slack.client._PAGES", 2)
    assert there.client.read_back(batch("messages", [HELLO], "append", "append")) == {}, "not known is not absent"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"token": "xoxb-wrong"}, "invalid_auth"), ({"token": ""}, "CDP_SLACK__TOKEN is not set")],
)
def test_wrong_credentials_end_the_run(tmp_path: Path, settings: dict[str, str], reason: str) -> None:
    with account(slack, tmp_path, **settings) as there, pytest.raises(ConfigurationError, match=reason):
        there.client.prepare("messages", [], {})


def test_a_bot_without_the_scope_and_a_webhook_that_is_gone(tmp_path: Path) -> None:
    with account(slack, tmp_path / "a", token=slack.READ_ONLY_TOKEN) as there:
        with pytest.raises(BatchRejectedError, match=r"missing_scope \(chat:write\)"):
            post(there)
        gone = f"{there.url}/services/T/B/other"
        with (
            account(slack, tmp_path / "b", webhook_url=gone) as other,
            pytest.raises(ConfigurationError, match="no_service"),
        ):
            post(other, "webhook_messages")
    with (
        account(slack, tmp_path / "c", webhook_url="") as there,
        pytest.raises(ConfigurationError, match="CDP_SLACK__WEBHOOK_URL is not set"),
    ):
        there.client.prepare("webhook_messages", [], {})


def test_lost_messages_are_found_in_the_channel_and_caps_hold(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.contract("snd_slack__news", COLUMNS, "service")
    project.sync("news", SYNC.format(object="messages", fields="{channel: channel, text: line}"))
    folder = project.settings.project_root / "reverse_etl"
    (folder / "messages.yml").write_text("caps: [{channels: [chat], at_most: 1, per: day}]\n")
    project.fill(
        "snd_slack__news",
        COLUMNS,
        [("a", "p1", "C0CRM", "one"), ("b", "p1", "C0CRM", "two"), ("c", "p2", "C0CRM", "three")],
    )
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    script = Script(rule=lambda number, path: Fault(500, after_effect=True) if path.endswith("postMessage") else None)
    with serving(slack.create_app(tmp_path, tmp_path / "emulators", script)) as url:
        for name, value in slack.environment(url).items():
            monkeypatch.setenv(name, value)
        first = engine.run("news", project.settings, AS_OF, clock=lambda: noon)
        assert (first.in_doubt, first.suppressed) == (2, 1), "one message a day and person"
        script.rule = None
        second = engine.run("news", project.settings, AS_OF, clock=lambda: noon + timedelta(hours=1))
        assert (second.sent, second.suppressed) == (0, 1), "both had arrived"
        third = engine.run("news", project.settings, AS_OF, clock=lambda: noon + timedelta(days=1))
        assert third.appended == 1
    said = Vendor(url, tmp_path / "emulators" / "slack.sqlite", script).query("select value from held order by id")
    assert [json.loads(value)["text"] for (value,) in said] == ["one", "three", "two"], "each once"


def test_the_vendor_asks_for_a_second_between_messages(tmp_path: Path) -> None:
    with serving(slack.create_app(tmp_path, tmp_path / "emulators", Script(), seconds_between=60)) as url:
        with httpx.Client(base_url=url) as http:
            answers = [http.post(slack.HOOK, content=json.dumps({"text": "x"})) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 429]
        assert answers[1].headers["Retry-After"] == "1"
