"""Writes docs/cli.md and docs/settings.md from the code: `python docs/reference.py`. A test compares them."""

from __future__ import annotations

import re
import types
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from cdp.cli import app
from cdp.settings import Settings

DOCS = Path(__file__).resolve().parent
WIDTH = 110

CLI_INTRO = """# The command line

<!-- Made from the code by `python docs/reference.py`; edit the docstrings of cdp/commands, not this file. -->

`cdp` is installed into the virtual environment: `. .venv/bin/activate`, or call `.venv/bin/cdp`. Every command has `--help`; those
with `--json` print one JSON document on standard output, and nothing else. Messages about errors go to standard error: what
happened, where, what was expected, what to do.

## Exit codes

| code | meaning |
| --- | --- |
| 0 | done, all well |
| 1 | a run, a check or a row failed |
| 2 | the call or a declaration is wrong |
| 3 | the machine or the configuration is not ready: a secret, a folder, the warehouse is missing |
| 4 | something else holds what is needed: another run, or a plan that has moved or exceeds its limits |
| 130 | stopped by Ctrl-C |

What each command says about its codes stands below.
"""

SETTINGS_INTRO = """# Settings

<!-- Made from `cdp.settings.Settings` by `python docs/reference.py`; edit the class, not this file. -->

Settings are environment variables. A file `.env` in the repository's folder (ignored by Git) is read, too; the environment
beats it. Paths that are not absolute are seen from the repository's folder.

| variable | type | default | meaning |
| --- | --- | --- | --- |
"""

SETTINGS_END = """
## Addresses and secrets

Each source and destination has its own variables, `CDP_<NAME>__<KEY>`: `CDP_CRM__BASE_URL`, `CDP_HUBSPOT__TOKEN`. Which keys it needs is
said by `connection:` in `ingest/sources/<name>.yml` and `reverse_etl/destinations/<name>/spec.yml`; `cdp doctor` names those that are
missing. They are looked for in the environment, then in `.env`, then in `<data_dir>/world.env`, which `cdp world up` writes for
the emulated vendors and `cdp world down` removes. They are never logged.

## A run's "now"

Nothing in the models reads the clock. `CDP_AS_OF` (or `cdp run --as-of`) says what now is; without it, it is the end of the demo
world when the landing folder is that of a demo world, else today 00:00 UTC. The same data and the same `as_of` give the same warehouse.
"""


def commands(command: Any, path: tuple[str, ...] = ("cdp",)) -> list[tuple[str, Any]]:
    """Every command that does something, with its full name, in the order of `--help`."""
    children = getattr(command, "commands", None)
    if not children:
        return [(" ".join(path), command)]
    return [found for name, child in children.items() for found in commands(child, (*path, name))]


def cli_page() -> str:
    """docs/cli.md."""
    parts = [CLI_INTRO]
    for name, command in commands(typer.main.get_command(app)):
        texts = _paragraphs(command.help) + _paragraphs(command.epilog)
        example = next((t.removeprefix("Example: ") for t in texts if t.startswith("Example: ")), None)
        parts.append(f"\n## `{_usage(name, command)}`\n")
        parts += [f"\n{_wrapped(_escaped(text))}\n" for text in texts if not text.startswith("Example: ")]
        if example:
            parts.append(f"\n    {example}\n")
        parameters = [_parameter(p) for p in command.params if p.name not in ("help", "install_completion")]
        if parameters:
            parts.append("\n| argument | meaning |\n| --- | --- |\n" + "\n".join(parameters) + "\n")
    return "".join(parts)


def settings_page() -> str:
    """docs/settings.md."""
    rows = [_setting(name, field) for name, field in Settings.model_fields.items() if name != "project_root"]
    return SETTINGS_INTRO + "\n".join(rows) + "\n" + SETTINGS_END


def _usage(name: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    return " ".join([name, *(p.name.upper() if p.required else f"[{p.name.upper()}]" for p in arguments)])


def _paragraphs(text: str | None) -> list[str]:
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text or "") if part.strip()]


def _escaped(text: str) -> str:
    """Angle brackets outside of code are text, not HTML."""
    return re.sub(r"<(\w+)>", r"`<\1>`", text).replace("``", "`") if "`" not in text else text


def _wrapped(text: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False))


def _parameter(parameter: Any) -> str:
    names = parameter.name.upper() if parameter.param_type_name == "argument" else ", ".join(parameter.opts)
    default = parameter.default
    shown = "" if default in (None, "", False) or callable(default) else f" Default: `{default}`."
    return f"| `{names}` | {_cell(parameter.help or '')}{shown} |"


def _setting(name: str, field: FieldInfo) -> str:
    default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    shown = f"`{default}`" if default not in (None, "") else "(empty)"
    return f"| `CDP_{name.upper()}` | {_type(field.annotation)} | {shown} | {_cell(field.description or '')} |"


def _type(annotation: Any) -> str:
    if get_origin(annotation) in (Union, types.UnionType):
        return next(_type(a) for a in get_args(annotation) if a is not type(None))
    words = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        Path: "path",
        SecretStr: "secret",
    }
    return words[annotation]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    (DOCS / "cli.md").write_text(cli_page(), encoding="utf-8")
    (DOCS / "settings.md").write_text(settings_page(), encoding="utf-8")
