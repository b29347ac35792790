"""E-mails by SMTP submission. A mail counts as sent when the server has taken it over, and is never sent twice unknowingly.

Contract: RFC 5321 (replies; a 4yz reply may be tried again, a 5yz may not; the reply to the end of the data hands the mail
over), RFC 3207 (STARTTLS), RFC 4954 (AUTH), RFC 1870 (SIZE), RFC 6531 (SMTPUTF8), RFC 8058 (one-click unsubscribe).
"""

from __future__ import annotations

import re
import smtplib
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from cdp.errors import ConfigurationError
from reverse_etl.catalog import MappedField
from reverse_etl.destination import Batch, Outcome, Result
from reverse_etl.destination_spec import DestinationSpec
from reverse_etl.destinations.rest import refused
from reverse_etl.destinations.smtp.mail import mail_of
from reverse_etl.pace import Pace, TryAgain

T = TypeVar("T")

_SECURITY = ("starttls", "tls", "none")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
# A line that is only a dot ends the mail, so a dot at the begin of a line is doubled (RFC 5321, section 4.5.2).
_DOT = re.compile(rb"^\.", re.MULTILINE)
_NO_CONNECTION = (smtplib.SMTPServerDisconnected, smtplib.SMTPConnectError, ConnectionError, TimeoutError, OSError)


def connect(spec: DestinationSpec, connection: Mapping[str, str], pace: Pace) -> Smtp:
    """A client for the server `CDP_SMTP__HOST`."""
    host, security = connection["host"], connection["security"]
    problem = ""
    if security not in _SECURITY:
        problem = f'CDP_SMTP__SECURITY is "{security}"'
    elif not connection["port"].isdigit():
        problem = f'CDP_SMTP__PORT is "{connection["port"]}"'
    elif security == "none" and host not in _LOOPBACK:
        problem = "mails and the password would travel unencrypted"
    if problem:
        raise ConfigurationError(
            problem,
            where="smtp",
            expected="a port, and starttls or tls as the security (none only with a server on this machine)",
            fix="correct CDP_SMTP__PORT and CDP_SMTP__SECURITY",
        )
    return Smtp(connection, pace, spec.timeout_seconds)


class Smtp:
    """See `reverse_etl.destination.Client`. Thread-safe: each thread keeps a connection of its own."""

    def __init__(self, connection: Mapping[str, str], pace: Pace, timeout: float) -> None:
        self._settings, self._pace, self._timeout = connection, pace, timeout
        self._mine, self._all, self._lock = threading.local(), list[smtplib.SMTP](), threading.Lock()

    def prepare(self, object_name: str, fields: Sequence[MappedField], options: Mapping[str, str]) -> None:
        """Log in, so that wrong settings end the run before the first mail."""
        self._repeatedly(lambda server: None)

    def write(self, batch: Batch) -> Result:
        """Send one mail."""
        (row,) = batch.rows
        address = str(row.payload["to"])
        try:
            content = mail_of(row, batch.sync, batch.options, batch.as_of)
        except ValueError as error:
            return Result(others=Outcome("rejected", f"the mail cannot be written: {type(error).__name__}", "553"))
        return self._repeatedly(lambda server: _hand_over(server, batch.options["sender"], address, content))

    def close(self) -> None:
        """Say goodbye."""
        with self._lock:
            servers, self._all = self._all, []
        for server in servers:
            try:
                server.quit()
            except (smtplib.SMTPException, OSError):
                server.close()

    def _repeatedly(self, step: Callable[[smtplib.SMTP], T]) -> T:
        """Run a step, on a fresh connection after each failure of the connection."""

        def attempt() -> T:
            server = self._open()
            try:
                return step(server)
            except TryAgain:
                self._drop(server)
                raise
            except _NO_CONNECTION as error:
                self._drop(server)
                # Before the mail's data went out nothing can have been taken over.
                raise TryAgain(f"the connection was lost ({type(error).__name__})") from None

        return self._pace.call(attempt, repeatable=False)

    def _open(self) -> smtplib.SMTP:
        server: smtplib.SMTP | None = getattr(self._mine, "server", None)
        if server is not None:
            try:
                if server.rset()[0] == 250:
                    return server
            except (smtplib.SMTPException, OSError):
                pass
            # It was left alone for too long.
            self._drop(server)
        try:
            server = self._login()
        except ssl.SSLCertVerificationError as error:
            raise ConfigurationError(
                f"the server's certificate is not trusted: {error.verify_message}",
                where="smtp",
                expected="a certificate for CDP_SMTP__HOST by a known authority",
                fix="correct CDP_SMTP__HOST, or set CDP_SMTP__CA_FILE to the authority's certificate",
            ) from None
        except smtplib.SMTPAuthenticationError as error:
            if error.smtp_code < 500:
                raise TryAgain(f"the login has to wait ({error.smtp_code})") from None
            raise refused("smtp", f"reply {error.smtp_code}", "CDP_SMTP__USERNAME and CDP_SMTP__PASSWORD") from None
        except smtplib.SMTPNotSupportedError:
            raise ConfigurationError(
                "the server offers no STARTTLS or no login",
                where="smtp",
                expected="a server for submission",
                fix="correct CDP_SMTP__PORT and CDP_SMTP__SECURITY",
            ) from None
        except (smtplib.SMTPException, OSError) as error:
            raise TryAgain(f"no connection: {type(error).__name__}") from None
        self._mine.server = server
        with self._lock:
            self._all.append(server)
        return server

    def _login(self) -> smtplib.SMTP:
        given, timeout = self._settings, self._timeout
        host, port = given["host"], int(given["port"])
        context = ssl.create_default_context(cafile=given["ca_file"] or None)
        if given["security"] == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=timeout, context=context)
        else:
            server = smtplib.SMTP(host, port, timeout=timeout)
        try:
            if given["security"] == "starttls":
                server.starttls(context=context)
            server.ehlo_or_helo_if_needed()
            if given["username"]:
                server.login(given["username"], given["password"])
        except BaseException:
            server.close()
            raise
        return server

    def _drop(self, server: smtplib.SMTP) -> None:
        server.close()
        self._mine.server = None
        with self._lock:
            if server in self._all:
                self._all.remove(server)


def _hand_over(server: smtplib.SMTP, sender: str, address: str, content: bytes) -> Result:
    """One mail transaction."""
    options = []
    if server.has_extn("size"):
        allowed = server.esmtp_features["size"].strip()
        if allowed.isdigit() and 0 < int(allowed) < len(content):
            return Result(
                others=Outcome(
                    "rejected", f"the mail has {len(content)} bytes, the server takes {allowed}", "too_large"
                )
            )
        options.append(f"size={len(content)}")
    if not address.isascii():
        if not server.has_extn("smtputf8"):
            return Result(others=Outcome("rejected", "the server takes no such address", "no_smtputf8"))
        options += ["SMTPUTF8", "BODY=8BITMIME"]
    for code, reply in _envelope(server, sender, address, options):
        if code >= 400:
            return _refused(server, code, reply)
    code, reply = server.docmd("DATA")
    if code != 354:
        return _refused(server, code, reply)
    try:
        server.send(_DOT.sub(b"..", content) + b".\r\n")
        code, reply = server.getreply()
    except _NO_CONNECTION as error:
        # The mail went out; whether the server took it over before the line broke, nobody knows.
        raise TryAgain(f"no reply after the mail was sent ({type(error).__name__})", effect_unknown=True) from None
    if code != 250:
        return _refused(server, code, reply)
    return Result.all_succeeded(reply.decode(errors="replace").split("\n")[0][:100])


def _envelope(server: smtplib.SMTP, sender: str, address: str, options: Sequence[str]) -> list[tuple[int, bytes]]:
    answers = [server.mail(sender, options)]
    if answers[0][0] < 400:
        answers.append(server.rcpt(address))
    return answers


def _refused(server: smtplib.SMTP, code: int, reply: bytes) -> Result:
    """4yz: another time, and so the next run; 5yz: never as it is. 421 announces that the server hangs up."""
    said = f"{code} {' '.join(reply.decode(errors='replace').split())}"
    if code == 421:
        raise TryAgain("the server closes (421)", code="421")
    if code in (530, 535):
        raise refused("smtp", f"reply {code}", "CDP_SMTP__USERNAME and CDP_SMTP__PASSWORD")
    return Result(others=Outcome("failed" if code < 500 else "rejected", said, str(code)))
