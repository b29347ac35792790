"""Which models, tags, scores, segments and syncs use an event or a property of it: read from their SQL by sqlglot.

Direct use: the event's name as a text, or its typed model; of a property, `property('x')` or a JSON path `$.x`, or its column
of the typed model. What builds on that uses it too: by ref(), by a tag's or segment's name in an expression, by a sync's source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlglot
import yaml
from sqlglot import exp
from sqlglot.errors import SqlglotError

from cdp.settings import Settings
from cdp.tracking_plan import slug

_JINJA = re.compile(r"\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_REF = re.compile(r"\{\{\s*ref\(\s*['\"](\w+)['\"]\s*\)\s*\}\}")
_OTHER = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_KINDS = (("tags", "tag"), ("scores", "score"), ("segments", "segment"))
# what reads all tags or segments at once says nothing about a single one
_COLLECTING = {"person_tags", "tag_assignment", "segment_membership", "person_score", "score_reason", "person_event"}


@dataclass
class User:
    """Something that may use an event: the texts and names in its SQL, and what it builds on."""

    kind: str
    name: str
    texts: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    refs: set[str] = field(default_factory=set)

    @property
    def label(self) -> str:
        """`segment abandoned_cart`."""
        return f"{self.kind} {self.name}"


def read_users(settings: Settings) -> list[User]:
    """Every declaration, hand-written model and sync, with what stands in it."""
    users: list[User] = []
    for folder, kind in _KINDS:
        users += [_declared(kind, path) for path in sorted((settings.dbt_dir / folder).glob("*.yml"))]
    lifecycle = settings.dbt_dir / "lifecycle.yml"
    users += [_declared("life cycle", lifecycle)] if lifecycle.exists() else []
    for path in sorted((settings.dbt_dir / "models").rglob("*.sql")):
        if "generated" not in path.parts:
            users.append(_model(path))
    for path in sorted((settings.project_root / "reverse_etl" / "syncs").glob("*.yml")):
        user = _declared("sync", path)
        user.refs.add(str(_yaml(path).get("source", "")))
        users.append(user)
    return users


def users_of(event: str, prop: str | None, users: list[User]) -> list[User]:
    """Those that use an event (or, when given, its top-level property), directly or through others; in the order of names."""
    model = f"event_{slug(event)}"
    found = {u.label: u for u in users if (event in u.texts or model in u.refs) and _uses_property(u, prop)}
    names = {u.name for u in found.values()}
    growing = True
    while growing:
        growing = False
        for user in users:
            if user.label not in found and (user.refs | user.words) & (names - _COLLECTING):
                found[user.label] = user
                names.add(user.name)
                growing = True
    return [found[label] for label in sorted(found)]


def _uses_property(user: User, prop: str | None) -> bool:
    return prop is None or bool({prop, f"$.{prop}", f'$."{prop}"'} & (user.texts | user.words))


def _declared(kind: str, path: Path) -> User:
    user = User(kind, path.stem)
    for value in _values(_yaml(path)):
        _read(user, value, "")
    return user


def _model(path: Path) -> User:
    text = path.read_text(encoding="utf-8")
    name = path.stem
    for prefix, kind in (("tag_", "tag"), ("segment_", "segment")):
        if name.startswith(prefix) and path.parent.name == f"{kind}s" and name not in _COLLECTING:
            user = User(kind, name.removeprefix(prefix))
            break
    else:
        user = User("model", name)
    user.refs |= set(_REF.findall(text))
    # what is left of the template is replaced by a name, which any SQL takes
    _read(user, _OTHER.sub("x", _REF.sub(r"\1", _JINJA.sub(" ", text))), text)
    return user


def _read(user: User, sql: str, fallback: str) -> None:
    """Texts and column names of a piece of SQL; of what cannot be parsed (macros of whole queries), the quoted texts."""
    try:
        trees: list[Any] = [tree for tree in sqlglot.parse(sql, dialect="duckdb") if tree is not None]
    except SqlglotError:
        user.texts |= set(re.findall(r"'([^'\n]+)'", fallback or sql))
        return
    for tree in trees:
        user.texts |= {str(node.this) for node in tree.find_all(exp.Literal) if node.is_string}
        user.texts |= {"$" + "".join(str(part) for part in [node.sql()[2:-1]]) for node in tree.find_all(exp.JSONPath)}
        user.words |= {node.name for node in tree.find_all(exp.Column)}


def _yaml(path: Path) -> dict[str, Any]:
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    return data if isinstance(data, dict) else {}


def _values(data: Any) -> list[str]:
    """Every expression of a declaration: the texts below the keys that hold SQL."""
    keys = {"where", "when", "of", "value", "exclude", "eligible"}
    found: list[str] = []
    if isinstance(data, dict):
        for key, value in data.items():
            found += [value] if key in keys and isinstance(value, str) else _values(value)
    elif isinstance(data, list):
        found += [text for item in data for text in _values(item)]
    return found
