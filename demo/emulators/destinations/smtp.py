"""A mail server for submission (aiosmtpd): STARTTLS, a login, a size limit, mailboxes that refuse; mails are kept in SQLite.

Contract: RFC 5321, 3207, 4954, 1870. Addresses decide what becomes of a mail: at `bounce.example` nobody lives (550), at
`full.example` mailboxes are full (452), at `grey.example` the first attempt is put off (451), and a mail with "casino" in it
is refused after its data (554). The certificate is made once and kept.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import sqlite3
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
USERNAME, PASSWORD = "lumen", "demo-smtp-password"
_SIZE = 1_000_000
_SCHEMA = """
create table if not exists mail (no integer primary key, sender text, recipient text, content blob not null);
create table if not exists put_off (recipient text primary key);
"""
# number of the mail -> "" (all is well), "lost" (taken, the answer is lost), "closing" (421), "dropped" (line broken before)
Fate = Callable[[int], str]


class Mailboxes:
    """What aiosmtpd asks: addresses, and mails."""

    def __init__(self, state_dir: Path) -> None:
        self.db = sqlite3.connect(state_dir / "smtp.sqlite", check_same_thread=False, isolation_level=None)
        self.db.executescript("pragma journal_mode = wal; pragma synchronous = normal;" + _SCHEMA)
        self.fate: Fate = lambda number: ""
        self.attempts = 0

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        """Is there a mailbox?"""
        domain = address.rpartition("@")[2].lower()
        if domain == "bounce.example":
            return f"550 5.1.1 <{address}>: Recipient address rejected: User unknown"
        if domain == "full.example":
            return "452 4.2.2 Mailbox full"
        if domain == "grey.example":
            seen = self.db.execute("insert or ignore into put_off values (?)", (address,)).rowcount == 0
            if not seen:
                return "451 4.7.1 Greylisting in action, please come back later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep the mail."""
        self.attempts += 1
        fate, content = self.fate(self.attempts), envelope.original_content or b""
        if fate == "closing":
            return "421 4.3.2 Service shutting down"
        if b"casino" in content:
            return "554 5.7.1 Message rejected as spam"
        if fate != "dropped":
            number = self.db.execute(
                "insert into mail (sender, recipient, content) values (?, ?, ?)",
                (envelope.mail_from, envelope.rcpt_tos[0], content),
            ).lastrowid
        if fate in ("lost", "dropped") and isinstance(server.transport, asyncio.WriteTransport):
            server.transport.abort()
            return "250 nobody reads this"
        return f"250 2.0.0 Ok: queued as {number:08X}"


class SmtpEmulator:
    """The running server."""

    def __init__(self, server: asyncio.Server, mailboxes: Mailboxes, ca_file: Path) -> None:
        self._server, self.mailboxes, self._ca_file = server, mailboxes, ca_file
        self._port = server.sockets[0].getsockname()[1]

    def environment(self) -> dict[str, str]:
        """Lines of world.env."""
        return {
            "CDP_SMTP__HOST": HOST,
            "CDP_SMTP__PORT": str(self._port),
            "CDP_SMTP__SECURITY": "starttls",
            "CDP_SMTP__USERNAME": USERNAME,
            "CDP_SMTP__PASSWORD": PASSWORD,
            "CDP_SMTP__CA_FILE": str(self._ca_file),
        }

    async def stop(self) -> None:
        """Close the port."""
        self._server.close()
        self.mailboxes.db.close()


async def start(world_dir: Path, state_dir: Path, *, tls_from_start: bool = False) -> SmtpEmulator:
    """Serve on a free loopback port. `world_dir` is not read."""
    state_dir.mkdir(parents=True, exist_ok=True)
    mailboxes, ca_file = Mailboxes(state_dir), state_dir / "smtp_certificate.pem"
    key_file = state_dir / "smtp_key.pem"
    if not key_file.exists():
        _make_certificate(ca_file, key_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca_file, key_file)

    def session() -> SMTP:
        return SMTP(
            mailboxes,
            hostname="mail.lumen.example",
            ident="demo mail server",
            data_size_limit=_SIZE,
            enable_SMTPUTF8=True,
            tls_context=None if tls_from_start else context,
            require_starttls=not tls_from_start,
            auth_required=not tls_from_start,
            auth_require_tls=not tls_from_start,
            authenticator=_authenticate,
            loop=asyncio.get_running_loop(),
        )

    server = await asyncio.get_running_loop().create_server(session, HOST, 0, ssl=context if tls_from_start else None)
    return SmtpEmulator(server, mailboxes, ca_file)


def _authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    known = (
        isinstance(data, LoginPassword)
        and data.login == USERNAME.encode()
        and hmac.compare_digest(data.password, PASSWORD.encode())
    )
    return AuthResult(success=known, handled=False)


def _make_certificate(ca_file: Path, key_file: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "demo mail server")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    ca_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
