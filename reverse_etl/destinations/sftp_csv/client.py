"""CSV files by SFTP (paramiko): uploaded beside, checked, and renamed into place, so that nobody reads half a file.

The same rows give the same bytes (reverse_etl/destinations/files.py).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TypeVar

import paramiko

from cdp.errors import ConfigurationError
from reverse_etl.catalog import MappedField
from reverse_etl.destination import Batch, Result
from reverse_etl.destination_spec import DestinationSpec
from reverse_etl.destinations.files import csv_bytes
from reverse_etl.pace import Pace, TryAgain

T = TypeVar("T")


def connect(spec: DestinationSpec, connection: Mapping[str, str], pace: Pace) -> SftpCsv:
    """A client for `CDP_SFTP_CSV__HOST`. The server's key must be `CDP_SFTP_CSV__HOST_KEY` ("ssh-ed25519 AAAA...")."""
    if not connection["port"].isdigit():
        raise ConfigurationError(
            f'CDP_SFTP_CSV__PORT is "{connection["port"]}"', where="sftp_csv", expected="a port number"
        )
    return SftpCsv(connection, pace, spec.timeout_seconds)


class SftpCsv:
    """See `reverse_etl.destination.Client`. Connects on first use."""

    def __init__(self, connection: Mapping[str, str], pace: Pace, timeout: float) -> None:
        self._connection, self._pace, self._timeout = connection, pace, timeout
        self._ssh: paramiko.SSHClient | None = None
        self._columns: list[str] = []

    def prepare(self, object_name: str, fields: Sequence[MappedField], options: Mapping[str, str]) -> None:
        """Make the folder."""
        self._columns = [field.name for field in fields]
        self._repeatedly(lambda sftp: _make_folder(sftp, options["folder"]))

    def write(self, batch: Batch) -> Result:
        """Write one file. All rows share its fate."""
        folder, name = PurePosixPath(batch.options["folder"]), batch.options["file"]
        if batch.object == "snapshot":
            rows = [row for row in batch.rows if row.operation != "delete"]
            content = csv_bytes(rows, self._columns, with_operation=False)
        else:
            content = csv_bytes(batch.rows, self._columns, with_operation=True)
            # Named for its time and content: a repeated run replaces its own file instead of adding a second.
            moment = "".join(c for c in batch.as_of if c.isalnum())
            name = f"{PurePosixPath(name).stem}_{moment}_{hashlib.sha256(content).hexdigest()[:12]}.csv"
        self._repeatedly(lambda sftp: _put(sftp, str(folder / name), content))
        return Result.all_succeeded()

    def delete(self, batch: Batch) -> Result:
        """A file of rows to delete (`delta` only: a snapshot is always written whole)."""
        return self.write(batch)

    def close(self) -> None:
        """Hang up."""
        if self._ssh is not None:
            self._ssh.close()
            self._ssh = None

    def _repeatedly(self, step: Callable[[paramiko.SFTPClient], T]) -> T:
        """Run a step that may be repeated, on a fresh connection after each failure of the connection."""

        def attempt() -> T:
            begun = False
            try:
                sftp = self._open()
                begun = True
                with sftp:
                    return step(sftp)
            except (paramiko.SSHException, EOFError, ConnectionError, TimeoutError) as error:
                # Refusals of the file system come as OSError with an errno; broken connections without, or as these.
                self.close()
                raise TryAgain(f"no connection: {type(error).__name__}", effect_unknown=begun) from None
            except Exception:
                self.close()
                raise

        try:
            return self._pace.call(attempt)
        except OSError as error:
            # A full disk or a missing right concerns the whole file: no smaller batch would fare better.
            raise ConfigurationError(
                f"the server refuses the file: {error.strerror or type(error).__name__}",
                where="sftp_csv",
                expected="a folder that the user may write to, and room in it",
                fix="ask the server's owner, or choose another options.folder in the sync",
            ) from None

    def _open(self) -> paramiko.SFTPClient:
        if self._ssh is None:
            self._ssh = self._login()
        sftp = self._ssh.open_sftp()
        channel = sftp.get_channel()
        if channel is not None:
            channel.settimeout(self._timeout)
        return sftp

    def _login(self) -> paramiko.SSHClient:
        host, port = self._connection["host"], int(self._connection["port"])
        ssh = paramiko.SSHClient()
        ssh.set_missing_host_key_policy(paramiko.RejectPolicy())
        name = host if port == 22 else f"[{host}]:{port}"
        kind, key = _host_key(self._connection["host_key"])
        ssh.get_host_keys().add(name, kind, key)
        try:
            ssh.connect(
                host,
                port,
                username=self._connection["username"],
                password=self._connection["password"],
                timeout=self._timeout,
                auth_timeout=self._timeout,
                banner_timeout=self._timeout,
                look_for_keys=False,
                allow_agent=False,
            )
        except paramiko.BadHostKeyException:
            ssh.close()
            raise ConfigurationError(
                "the server's key is another than the one expected",
                where="sftp_csv",
                expected="the key of CDP_SFTP_CSV__HOST_KEY",
                fix="find out whether the server was replaced before you change the setting",
            ) from None
        except paramiko.AuthenticationException:
            ssh.close()
            raise ConfigurationError(
                "the server refuses the login",
                where="sftp_csv",
                expected="a user who may log in by password",
                fix="correct CDP_SFTP_CSV__USERNAME and CDP_SFTP_CSV__PASSWORD",
            ) from None
        except BaseException:
            ssh.close()
            raise
        return ssh


def _host_key(line: str) -> tuple[str, paramiko.PKey]:
    try:
        kind, data = line.split()[:2]
        return kind, paramiko.PKey.from_type_string(kind, base64.b64decode(data, validate=True))
    except (ValueError, binascii.Error, paramiko.SSHException):
        raise ConfigurationError(
            "CDP_SFTP_CSV__HOST_KEY cannot be read",
            where="sftp_csv",
            expected='a line of known_hosts without its host, as in "ssh-ed25519 AAAA..."',
            fix="ask the server's owner for its public key",
        ) from None


def _make_folder(sftp: paramiko.SFTPClient, folder: str) -> None:
    path = PurePosixPath()
    for part in PurePosixPath(folder).parts:
        path /= part
        try:
            sftp.stat(str(path))
        except FileNotFoundError:
            sftp.mkdir(str(path))


def _put(sftp: paramiko.SFTPClient, path: str, content: bytes) -> None:
    beside = f"{path}.tmp"
    # putfo compares the size on the server with what was sent, and raises OSError when they differ.
    sftp.putfo(io.BytesIO(content), beside, file_size=len(content), confirm=True)
    sftp.posix_rename(beside, path)
