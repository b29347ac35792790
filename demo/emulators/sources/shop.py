"""The shop's database is a real SQLite file of the world: nothing is emulated, only its address is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ShopDatabase:
    """Where the shop's database lies."""

    path: Path

    def environment(self) -> dict[str, str]:
        """The SQLAlchemy URL, as the source `shop` reads it."""
        return {"CDP_SHOP__URL": f"sqlite:///{self.path}"}

    def stop(self) -> None:
        """Nothing runs, so nothing is to be stopped."""


def start(world_dir: Path, state_dir: Path) -> ShopDatabase:
    """Tell where the database of this world is."""
    return ShopDatabase((world_dir / "sources" / "shop" / "shop.sqlite").resolve())
