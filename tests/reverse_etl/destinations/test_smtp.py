"""E-mails to a real mail server with TLS and a login."""

from __future__ import annotations

import email
import email.message
import email.policy
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cdp.errors import ConfigurationError
from demo.emulators.destinations import smtp
from reverse_etl import catalog, control, engine
from reverse_etl.destination import UnavailableError
from reverse_etl.destinations.smtp.client import connect
from reverse_etl.pace import Pace
from tests.reverse_etl.conftest import Project
from tests.reverse_etl.destinations.background import running
from tests.reverse_etl.destinations.shared import batch

ANNA = {"to": "anna@example.com", "subject": "Hello", "text": "Hello Anna"}
OPTIONS = {"sender": "shop@lumen.example", "sender_name": "Lumen 商店"}
SPEC = catalog.destination("smtp")
COLUMNS = {"id": "varchar", "person_id": "varchar", "email": "varchar", "line": "varchar"}
SYNC = """
name: letters
description: E-mails of the tests.
owner: tests
source: snd_smtp__letters
destination: smtp
object: emails
key: id
person: person_id
mode: append
fields: {to: email, subject: {value: Hello}, text: line}
consent_purpose: marketing_email
schedule: "15 * * * *"
options: {sender: shop@lumen.example}
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[smtp.SmtpEmulator]:
    with running(smtp.start(tmp_path, tmp_path / "emulators")) as made:
        yield made


def client(server: smtp.SmtpEmulator, **settings: str) -> Any:
    given = {key.split("__")[1].lower(): value for key, value in server.environment().items()}
    return connect(SPEC, {**given, **settings}, Pace(SPEC.retry))


def mails(server: smtp.SmtpEmulator) -> list[email.message.EmailMessage]:
    rows = server.mailboxes.db.execute("select content from mail order by no").fetchall()
    return [email.message_from_bytes(content, policy=email.policy.default) for (content,) in rows]


def send(server: Any, **fields: str) -> Any:
    return server.write(batch("emails", [{**ANNA, **fields}], "append", "append", **OPTIONS)).outcome("r0")


def test_a_mail_arrives_as_it_was_meant(server: smtp.SmtpEmulator) -> None:
    mine = client(server)
    mine.prepare("emails", [], OPTIONS)
    text = "Grüße, 王芳 😀\n.\n..dots\n" + "long " * 300
    done = send(
        mine, to_name="Anna, née \"Å\"", subject="优惠 " * 20, text=text, html="<p>Grüße</p>",
        unsubscribe_url="https://lumen.example/u/1?x=y", reply_to="care@lumen.example",
    )  # fmt: skip
    send(mine)
    mine.close()
    assert (done.status, done.request_id) == ("succeeded", "2.0.0 Ok: queued as 00000001")
    first, second = mails(server)
    plain, html = first.get_body(("plain",)), first.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert plain.get_content().splitlines() == text.splitlines()
    assert html.get_content().strip() == "<p>Grüße</p>"
    assert first["To"].addresses[0].display_name == 'Anna, née "Å"'
    assert first["From"].addresses[0].display_name == "Lumen 商店"
    assert first["Subject"] == "优惠 " * 20
    assert first["List-Unsubscribe"] == "<https://lumen.example/u/1?x=y>"
    assert first["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert first["Date"].datetime == datetime(2026, 1, 1, tzinfo=UTC)
    assert second["Message-ID"] == first["Message-ID"], "the id names the row"
    assert (
        server.mailboxes.db.execute("select sender, recipient from mail").fetchall()
        == [("shop@lumen.example", "anna@example.com")] * 2
    )


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"to": "nobody@bounce.example"}, "rejected", "550"),
        ({"to": "a@full.example"}, "failed", "452"),
        ({"to": "a@grey.example"}, "failed", "451"),
        ({"text": "casino"}, "rejected", "554"),
        ({"text": "x" * 1_000_001}, "rejected", "too_large"),
    ],
)
def test_what_the_server_refuses(server: smtp.SmtpEmulator, fields: dict[str, str], status: str, code: str) -> None:
    mine = client(server)
    told = send(mine, **fields)
    assert (told.status, told.code) == (status, code)
    assert code in SPEC.errors
    assert send(mine).status == "succeeded", "the next mail goes over the same connection"
    mine.close()
    assert len(mails(server)) == 1


def test_greylisting_lets_the_next_run_through(server: smtp.SmtpEmulator) -> None:
    mine = client(server)
    assert [send(mine, to="a@grey.example").status for _ in range(2)] == ["failed", "succeeded"]
    mine.close()


def test_a_closing_server_is_tried_again_and_a_lost_answer_is_not(server: smtp.SmtpEmulator) -> None:
    mine = client(server)
    server.mailboxes.fate = lambda number: {1: "closing", 3: "lost", 4: "dropped"}.get(number, "")
    assert send(mine).status == "succeeded"
    for _ in range(2):
        with pytest.raises(UnavailableError) as told:
            send(mine)
        assert told.value.effect_unknown
    mine.close()
    assert (server.mailboxes.attempts, len(mails(server))) == (4, 2)


def test_addresses_beyond_ascii_and_line_breaks_in_headers(server: smtp.SmtpEmulator) -> None:
    mine = client(server)
    assert send(mine, to="王芳@example.com").status == "succeeded"
    ((content,),) = server.mailboxes.db.execute("select content from mail").fetchall()
    assert b"To: <" + "王芳@example.com".encode() + b">" in content
    hostile = send(mine, subject="x\r\nBcc: other@example.com")
    assert (hostile.status, hostile.code) == ("rejected", "553"), "a header cannot be smuggled in"
    mine.close()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"password": "wrong"}, "refuses the credentials"),
        ({"ca_file": ""}, "certificate is not trusted"),
        ({"security": "none"}, "refuses the credentials|offers no STARTTLS or no login"),
        ({"security": "never"}, "CDP_SMTP__SECURITY is"),
        ({"security": "none", "host": "mail.example"}, "unencrypted"),
        ({"port": "x"}, "CDP_SMTP__PORT is"),
    ],
)
def test_wrong_settings_end_the_run_before_the_first_mail(
    server: smtp.SmtpEmulator, settings: dict[str, str], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        client(server, **settings).prepare("emails", [], OPTIONS)


def test_tls_from_the_start_and_nobody_there(tmp_path: Path) -> None:
    with running(smtp.start(tmp_path, tmp_path / "emulators", tls_from_start=True)) as server:
        mine = client(server, security="tls")
        assert send(mine).status == "succeeded"
        mine.close()
    with pytest.raises(UnavailableError, match="no connection") as told:
        client(server, port="1").prepare("emails", [], OPTIONS)
    assert not told.value.effect_unknown


def test_caps_hold_and_a_lost_answer_waits_for_a_person(
    project: Project, server: smtp.SmtpEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    project.contract("snd_smtp__letters", COLUMNS)
    project.sync("letters", SYNC)
    (project.settings.project_root / "reverse_etl" / "messages.yml").write_text("caps: [{at_most: 1, per: day}]\n")
    rows = [("l1", "p1", "a@example.com", "one"), ("l2", "p1", "a@example.com", "two")]
    rows += [
        ("l3", "p2", "b@example.com", "three"),
        ("l4", "p3", "no address", "x"),
        ("l5", "p4", "d@example.com", "x"),
    ]
    project.fill("snd_smtp__letters", COLUMNS, rows)
    project.consents([(person, "marketing_email", person != "p4") for person in ("p1", "p2", "p3", "p4")])
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    server.mailboxes.fate = lambda number: "lost" if number == 1 else ""
    first = engine.run("letters", project.settings, "2026-03-01T00:00:00", clock=lambda: noon)
    assert (first.appended, first.in_doubt, first.suppressed, first.invalid) == (1, 1, 2, 1)
    second = engine.run("letters", project.settings, "2026-03-01T00:00:00", clock=lambda: noon)
    assert (second.held, second.sent) == (1, 0)
    assert control.decide("letters", project.settings, arrived=True) == 1
    tomorrow = datetime(2026, 3, 3, 12, tzinfo=UTC)
    assert engine.run("letters", project.settings, "2026-03-01T00:00:00", clock=lambda: tomorrow).appended == 1
    assert sorted(mail["To"].addresses[0].addr_spec for mail in mails(server)) == [
        "a@example.com", "a@example.com", "b@example.com",
    ]  # fmt: skip
