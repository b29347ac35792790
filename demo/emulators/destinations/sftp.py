"""An SFTP server (asyncssh) whose root is `state_dir/sftp`: what a partner who takes files by SFTP looks like.

One user with a password, no shell, nothing above the root. The host key is made once and kept: clients pin it.
"""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Any

import asyncssh

USERNAME = "lumen"
PASSWORD = "demo-sftp-password"  # noqa: S105 - the emulator's own
HOST = "127.0.0.1"


class Login(asyncssh.SSHServer):
    """Admits the one user."""

    def begin_auth(self, username: str) -> bool:
        """Everybody has to authenticate."""
        return True

    def password_auth_supported(self) -> bool:
        """By password only."""
        return True

    def validate_password(self, username: str, password: str) -> bool:
        """Compared in constant time, as a real server does."""
        return username == USERNAME and hmac.compare_digest(password, PASSWORD)


class SftpEmulator:
    """The running server."""

    def __init__(self, acceptor: Any, host_key: str) -> None:
        self._acceptor, self._host_key = acceptor, host_key

    def environment(self) -> dict[str, str]:
        """Lines of world.env."""
        return {
            "CDP_SFTP_CSV__HOST": HOST,
            "CDP_SFTP_CSV__PORT": str(self._acceptor.get_port()),
            "CDP_SFTP_CSV__USERNAME": USERNAME,
            "CDP_SFTP_CSV__PASSWORD": PASSWORD,
            "CDP_SFTP_CSV__HOST_KEY": self._host_key,
        }

    async def stop(self) -> None:
        """Close the port and all connections."""
        self._acceptor.close()
        await self._acceptor.wait_closed()


async def start(world_dir: Path, state_dir: Path) -> SftpEmulator:
    """Serve `state_dir/sftp` on a free loopback port. `world_dir` is not read."""
    root, key_path = state_dir / "sftp", state_dir / "sftp_host_key"
    root.mkdir(parents=True, exist_ok=True)
    if not key_path.exists():
        key_path.touch(mode=0o600)
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(key_path)
    key = asyncssh.read_private_key(key_path)
    acceptor = await asyncssh.listen(
        HOST,
        0,
        server_host_keys=[key],
        server_factory=Login,
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(root)),
    )
    return SftpEmulator(acceptor, key.export_public_key().decode().strip())
