"""Folders import only what stands before them in the table of folders that the documentation shows: checked on the code.

What would silently break otherwise: a helper that reads a folder further on makes a cycle, `cdp --help` starts Dagster, or a
pipeline reads the demo world's truth and its precision becomes a fiction.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT: dict[str, set[str]] = {
    "cdp": set(),
    "dbt_declarations": {"cdp"},
    "ingest": {"cdp"},
    "expectations": {"cdp"},
    "predictions": {"cdp", "dbt_declarations"},
    "reverse_etl": {"cdp"},
    "demo": {"cdp"},
    "orchestration": {"cdp", "dbt_declarations", "ingest", "expectations", "predictions", "reverse_etl"},
}
OURS = {*MAY_IMPORT, "tests", "benchmarks"}
# The command line stands above all folders: it may import any of them, but only when a command runs.
ABOVE_ALL = (Path("cdp/commands"), Path("cdp/cli.py"))
# Text files of the parts that could reach for the truth without an import.
READ_BY_MACHINES = ("*.py", "*.sql", "*.yml", "*.yaml")


def modules(folder: str) -> list[Path]:
    """Python files of a folder, relative to the root."""
    return sorted(p.relative_to(ROOT) for p in (ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    """(dotted module, line, whether it is imported when the file is) of what a file imports, names of packages included."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    late = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef) for n in ast.walk(f)}
    typing_only = {
        id(n)
        for b in ast.walk(tree)
        if isinstance(b, ast.If) and "TYPE_CHECKING" in ast.unparse(b.test)
        for n in ast.walk(b)
    }
    for node in ast.walk(tree):
        at_once = id(node) not in late | typing_only
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, at_once) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(path.with_suffix("").parts[: -node.level]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            yield from ((f"{module}.{alias.name}", node.lineno, at_once) for alias in node.names)


def is_above_all(path: Path) -> bool:
    """Whether a file belongs to the command line."""
    return any(path == top or top in path.parents for top in ABOVE_ALL)


@pytest.mark.parametrize("folder", sorted(MAY_IMPORT))
def test_folders_import_only_what_they_may(folder: str) -> None:
    found = modules(folder)
    assert found, f"{folder}/ holds no code; has it moved?"
    wrong = [
        f"{path}:{line} imports {module}"
        for path in found
        if not is_above_all(path)
        for module, line, _ in imports(path)
        if module.split(".")[0] in OURS - MAY_IMPORT[folder] - {folder}
    ]
    assert not wrong, f"{folder}/ may import {sorted(MAY_IMPORT[folder]) or 'nothing of ours'}:\n" + "\n".join(wrong)


def test_the_command_line_imports_others_only_when_it_runs() -> None:
    wrong = [
        f"{path}:{line} imports {module}"
        for path in modules("cdp")
        if is_above_all(path)
        for module, line, at_once in imports(path)
        if at_once and module.split(".")[0] in OURS - {"cdp"}
    ]
    assert not wrong, "import these inside the command's function:\n" + "\n".join(wrong)


def test_nothing_imports_the_command_line() -> None:
    wrong = [
        f"{path}:{line} imports {module}"
        for folder in MAY_IMPORT
        for path in modules(folder)
        if not is_above_all(path)
        for module, line, _ in imports(path)
        if module.startswith(("cdp.commands", "cdp.cli"))
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_demo_reads_the_truth() -> None:
    """`cdp world` may hand the folder to demo; nothing of the pipeline may name the path. (A truth that a user brings along to
    measure matching against is a column of the user's file.)"""
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in (*(set(MAY_IMPORT) - {"demo"}), "dbt_project")
        for pattern in READ_BY_MACHINES
        for path in sorted((ROOT / folder).rglob(pattern))
        if path.relative_to(ROOT) != Path("cdp/commands/world.py") and "target" not in path.parts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"world.*truth|truth[/_](record|person|identifier)|[\"'/]truth/", line.lower())
    ]
    assert not wrong, "\n".join(wrong)


def test_the_walk_sees_relative_late_and_typing_imports() -> None:
    """The test's own instrument: a rule that sees nothing always holds."""
    seen = {module: at_once for module, _, at_once in imports(Path("cdp/commands/world.py"))}
    assert seen["demo.world.generate"] is False
    assert seen["demo.emulators.process.Running"] is False
    assert seen["typer"] is True
    assert any(m.startswith("cdp.") and at_once for m, _, at_once in imports(Path("orchestration/run.py")))
