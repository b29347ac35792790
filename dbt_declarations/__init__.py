"""The dbt plugin that turns YAML declarations into models.

dbt imports every installed module whose name starts with `dbt_` and instantiates the classes in its `plugins`
(`dbt.plugins.manager.PluginManager`, dbt-core 1.11). `plugins` is resolved on first use, so that `cdp declarations`
and tests can import the compiler without paying for the import of dbt.
"""

from __future__ import annotations

from typing import Any

__all__ = ["compile_all", "plugins"]


def __getattr__(name: str) -> Any:
    if name == "plugins":
        from dbt_declarations.plugin import DeclarationsPlugin

        return [DeclarationsPlugin]
    if name == "compile_all":
        from dbt_declarations.compiler import compile_all

        return compile_all
    raise AttributeError(f"module 'dbt_declarations' has no attribute {name!r}")
