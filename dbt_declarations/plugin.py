"""The hook by which dbt runs the compiler before it reads the project's files.

Source of the contract: dbt.plugins.manager of dbt-core 1.11 (class dbtPlugin, `initialize`). An exception raised here
stops dbt; its text is shown as a runtime error without a traceback.
"""

from __future__ import annotations

import os
from pathlib import Path

from dbt.flags import get_flags
from dbt.plugins.manager import dbtPlugin
from dbt_common.context import get_invocation_context

from cdp.errors import CdpError, DeclarationError
from cdp.settings import Settings, get_settings
from dbt_declarations.writer import refresh


class DeclarationsPlugin(dbtPlugin):
    """Brings models/generated/ and macros/generated/ up to date; leaves other dbt projects alone."""

    def initialize(self) -> None:
        """Compile when an input changed. Raises what dbt shows as its error when a declaration is wrong."""
        project_dir = getattr(get_flags(), "PROJECT_DIR", None)
        if project_dir is None:
            return
        settings = _settings()
        if Path(project_dir).resolve() != settings.dbt_dir.resolve():
            return
        settings.warehouse_path.parent.mkdir(parents=True, exist_ok=True)
        # a plain `dbt build` knows what `cdp run` would have set; dbt took its copy of the environment before
        known = get_invocation_context().env
        for name, value in settings.dbt_environment().items():
            if name.startswith("CDP_") and name not in known:
                known[name] = os.environ[name] = value
        try:
            refresh(settings, _compile)
        except DeclarationError as error:
            raise CannotCompile(f"the declarations are wrong:\n{error.render()}") from None
        except CdpError as error:
            raise CannotCompile(error.render()) from None


def _settings() -> Settings:
    try:
        return get_settings()
    except CdpError as error:
        raise CannotCompile(error.render()) from None


def _compile(settings: Settings) -> dict[Path, str]:
    # Imported only when something changed: sqlglot and the compiler cost more than the check of the digests.
    from dbt_declarations.compiler import compile_all

    return compile_all(settings)


class CannotCompile(Exception):
    """Carries the readable message of the compiler through dbt."""
