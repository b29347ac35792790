"""A row as an e-mail: the same row gives the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from email import policy
from email.header import Header
from email.message import EmailMessage
from email.utils import format_datetime, quote

from reverse_etl.destination import Row


def mail_of(row: Row, sync: str, options: Mapping[str, str], as_of: str) -> bytes:
    """The mail, with CRLF at the ends of lines.

    `Message-ID` names the row, so that servers and people recognise a mail that they have already; `Date` is the run's
    now. Raises ValueError for a line break in a header.
    """
    fields, sender = row.payload, options["sender"]
    digest = hashlib.sha256(f"{sync}\0{row.key}".encode()).hexdigest()[:32]
    headers = {
        "Message-ID": f"<{digest}@{sender.rpartition('@')[2]}>",
        "Date": format_datetime(_moment(as_of)),
        "From": _mailbox(options.get("sender_name", ""), sender),
        "To": _mailbox(str(fields.get("to_name") or ""), str(fields["to"])),
        "Subject": _words(str(fields["subject"]), "Subject"),
    }
    if fields.get("reply_to"):
        headers["Reply-To"] = _mailbox("", str(fields["reply_to"]))
    if fields.get("unsubscribe_url"):
        headers["List-Unsubscribe"] = f"<{_one_line(str(fields['unsubscribe_url']))}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    # EmailMessage writes the body; its own folding of headers (CPython 3.11) loses blanks between encoded words.
    body = EmailMessage(policy=policy.SMTP)
    body.set_content(str(fields["text"]))
    if fields.get("html"):
        body.add_alternative(str(fields["html"]), subtype="html")
        # The library would draw a boundary at random.
        body.set_boundary(f"=_{digest}")
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode() + body.as_bytes()


def _mailbox(name: str, address: str) -> str:
    """A name and an address. The address stands on a line of its own where a name is before it."""
    address = _one_line(address)
    if not name:
        return f"<{address}>"
    words = f'"{quote(_one_line(name))}"' if name.isascii() else _words(name, "From")
    return f"{words}\r\n <{address}>"


def _words(text: str, header: str) -> str:
    """Text of a header, folded; what is not ASCII as encoded words (RFC 2047)."""
    charset = "us-ascii" if text.isascii() else "utf-8"
    return Header(_one_line(text), charset, header_name=header).encode(linesep="\r\n")


def _one_line(text: str) -> str:
    if "\r" in text or "\n" in text:
        raise ValueError("a line break in a header")
    return text


def _moment(as_of: str) -> datetime:
    moment = datetime.fromisoformat(as_of)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
