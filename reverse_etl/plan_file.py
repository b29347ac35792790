"""Plan files: what was looked at, to be carried out as it is or not at all. They hold no personal data."""

from __future__ import annotations

import json
from pathlib import Path

from cdp.errors import ConfigurationError
from reverse_etl.plan import Plan

_FORMAT = "tributary sync plan"


def write(path: Path, plan: Plan) -> None:
    """Write a plan file. Raises ConfigurationError when the place cannot be written."""
    text = json.dumps({"format": _FORMAT, **plan.to_dict()}, indent=2, ensure_ascii=False) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot be written: {error.strerror}", where=str(path)) from None


def read(path: Path, sync: str) -> str:
    """Id of the plan in a file. Raises ConfigurationError when it is none, or of another sync."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        is_plan = found["format"] == _FORMAT
        name, plan_id = str(found["sync"]), str(found["plan_id"])
    except (OSError, ValueError, KeyError, TypeError):
        is_plan, name, plan_id = False, "", ""
    if not is_plan or name != sync:
        raise ConfigurationError(
            f"is a plan of {name}" if is_plan else "is no plan file",
            where=str(path),
            expected=f"a plan of {sync}",
            fix=f"cdp sync plan {sync} --out {path.name}",
        )
    return plan_id
