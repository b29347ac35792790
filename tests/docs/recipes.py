"""The README's recipes as data: which files they write, and which commands they give."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"`([\w./-]+\.\w+)`")


@dataclass
class Recipe:
    """One recipe: whole files by path, texts to put below `rules:` of a file, and shell lines."""

    title: str
    files: dict[str, str] = field(default_factory=dict)
    rules: dict[str, str] = field(default_factory=dict)
    shell: list[str] = field(default_factory=list)

    def write(self, root: Path) -> None:
        """Do to a copy of the project what the recipe says."""
        for path, text in self.files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        for path, text in self.rules.items():
            found = (root / path).read_text(encoding="utf-8")
            assert found.count("\nrules:\n") == 1, path
            (root / path).write_text(found.replace("\nrules:\n", "\nrules:\n" + text), encoding="utf-8")

    def undo(self, root: Path) -> None:
        """Take it back, in case somebody followed the recipe in the project itself."""
        for path in self.files:
            (root / path).unlink(missing_ok=True)
        for path, text in self.rules.items():
            found = (root / path).read_text(encoding="utf-8")
            (root / path).write_text(found.replace(text, ""), encoding="utf-8")


def recipes(readme: str) -> list[Recipe]:
    """The recipes in the order of the README. A code block belongs to the path named in the paragraph before it."""
    part = readme.split("\n## Five recipes\n")[1].split("\n## ")[0]
    return [recipe_of(text) for text in part.split("\n### ")[1:]]


def recipe_of(text: str) -> Recipe:
    """A section whose first line is its title."""
    recipe = Recipe(text.splitlines()[0])
    for block in _FENCE.finditer(text):
        language, body = block.groups()
        before = text[: block.start()].rstrip().rsplit("\n\n", 1)[-1]
        if language == "sh":
            recipe.shell += body.strip().splitlines()
            continue
        path = _NAMED.search(before)
        assert path, f"{recipe.title}: a block of {language} without a path before it"
        (recipe.rules if "below `rules:`" in before else recipe.files)[path[1]] = body
    return recipe
