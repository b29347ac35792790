"""Gives the package its dependencies from requirements/runtime.in, so that they are written in one place."""

from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface


class RequirementsHook(MetadataHookInterface):
    """Reads one requirement a line; comments and blank lines are left out."""

    def update(self, metadata: dict[str, object]) -> None:
        """Set `dependencies` of the package's metadata."""
        lines = (Path(self.root) / "requirements" / "runtime.in").read_text(encoding="utf-8").splitlines()
        metadata["dependencies"] = [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]
