"""Reads YAML declarations into pydantic models; errors name file, line, key, what was found and what is accepted."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, RootModel, ValidationError
from pydantic_core import ErrorDetails

from cdp.errors import DeclarationError

KeyPath = tuple[str | int, ...]


class Declaration(BaseModel):
    """Base of everything that is declared in YAML: unknown keys are errors, instances do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


M = TypeVar("M", bound=BaseModel)
# Deeper than any declaration; libyaml goes down the stack for each level until the process dies.
_DEEPEST = 400


@dataclass(frozen=True)
class Document(Generic[M]):
    """A declaration and where each of its keys stands."""

    path: Path
    value: M
    lines: dict[KeyPath, int] = field(repr=False, default_factory=dict)

    def where(self, *keys: str | int) -> str:
        """`file:line` of a key; of its nearest parent when the key itself is not written."""
        return _where(self.path, self.lines, keys)

    def error(self, keys: KeyPath, what: str, *, expected: str = "", fix: str = "") -> DeclarationError:
        """A DeclarationError at a key of this document."""
        key = ".".join(str(k) for k in keys)
        return DeclarationError(f"{key}: {what}" if key else what, where=self.where(*keys), expected=expected, fix=fix)


def load(path: Path, model: type[M]) -> Document[M]:
    """Read one YAML file as `model`. Raises DeclarationError listing everything that is wrong in it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DeclarationError("the file does not exist", where=str(path)) from None
    except UnicodeDecodeError as error:
        raise DeclarationError(f"is not UTF-8 (byte {error.start})", where=str(path), fix="save it as UTF-8") from None
    return parse(text, path, model)


def load_folder(folder: Path, model: type[M]) -> list[Document[M]]:
    """Every `*.yml` of a folder in the order of their names. Raises one DeclarationError for all that is wrong."""
    documents: list[Document[M]] = []
    errors: list[DeclarationError] = []
    for path in sorted(folder.glob("*.yml")):
        try:
            documents.append(load(path, model))
        except DeclarationError as error:
            errors.append(error)
    if errors:
        raise DeclarationError.all_of(errors)
    return documents


def parse(text: str, path: Path, model: type[M]) -> Document[M]:
    """Parse YAML text as `model`; `path` is only used to name the place of errors. A text is parsed once in a process:
    what is declared does not change, and each part of a run asks for it anew."""
    return _parse(text, path, model)


@lru_cache(maxsize=4096)
def _parse(text: str, path: Path, model: type[BaseModel]) -> Document[Any]:
    try:
        loader = _loader(text)
        node = loader.get_single_node()
        lines: dict[KeyPath, int] = {}
        if node is not None:
            _locate(node, (), lines, path)
        data = loader.construct_document(node) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DeclarationError(
            f"is not valid YAML: {error.problem}", where=f"{_short(path)}:{line}", fix="check indentation and quotes"
        ) from None
    except yaml.YAMLError as error:
        raise DeclarationError(f"is not valid YAML: {error}", where=_short(path)) from None
    except RecursionError:
        raise DeclarationError("is nested too deeply", where=_short(path), expected="a declaration") from None
    if not isinstance(data, dict):
        raise DeclarationError(
            f"found {_kind(data)}", where=f"{_short(path)}:1", expected="a mapping of keys to values"
        )
    try:
        return Document(path, model.model_validate(data), lines)
    except ValidationError as error:
        explained = (_explain(e, path, lines, data, model) for e in error.errors())
        raise DeclarationError.all_of(explained) from None


def _loader(text: str) -> Any:
    """A YAML loader: libyaml's, which reads ten times as fast as the one in Python, unless the text could be nested so deeply that
    only Python's can refuse it."""
    indents = max((len(run) for run in re.findall(r"^[ \t\-?:]*", text, re.MULTILINE)), default=0)
    deep = text.count("[") + text.count("{") + indents > _DEEPEST
    return yaml.SafeLoader(text) if deep else getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)


def suggest(found: str, accepted: list[str]) -> str:
    """`did you mean "x"?` for the nearest accepted name, else the accepted names."""
    near = difflib.get_close_matches(str(found), accepted, n=1, cutoff=0.6)
    return f'did you mean "{near[0]}"?' if near else ""


def json_schema(model: type[BaseModel], title: str) -> dict[str, Any]:
    """The JSON Schema of a declaration for editors."""
    schema = model.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}


def _locate(node: yaml.Node, keys: KeyPath, lines: dict[KeyPath, int], path: Path) -> None:
    lines.setdefault(keys, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            key = (*keys, key_node.value if isinstance(key_node.value, str) else str(key_node.value))
            line = key_node.start_mark.line + 1
            if key in lines:
                raise DeclarationError(
                    f"{'.'.join(map(str, key))}: written twice (first in line {lines[key]})",
                    where=f"{_short(path)}:{line}",
                    fix="keep one of the two",
                )
            lines[key] = line
            _locate(value_node, key, lines, path)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            _locate(item, (*keys, position), lines, path)


def _explain(
    error: ErrorDetails, path: Path, lines: dict[KeyPath, int], data: Any, model: type[BaseModel]
) -> DeclarationError:
    keys = _written_keys(error["loc"], data)
    where = _where(path, lines, keys)
    name = ".".join(str(k) for k in keys) or "(whole file)"
    if error["type"] == "extra_forbidden":
        accepted = _accepted(model, error["loc"][:-1])
        hint = suggest(str(keys[-1]), accepted)
        return DeclarationError(
            f"{name}: unknown key", where=where, expected="one of " + ", ".join(accepted) if accepted else "", fix=hint
        )
    if error["type"] == "missing":
        return DeclarationError(f"{name}: is required but missing", where=where, fix=f'add "{keys[-1]}:"')
    found = error.get("input")
    shown = f", found {_kind(found)}" if found is not None else ""
    if isinstance(found, str | int | float | bool) and len(str(found)) <= 80:
        shown = f', found "{found}"'
    expected = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    hint = ""
    if error["type"] in ("literal_error", "enum", "union_tag_invalid") and isinstance(found, str):
        choices = error.get("ctx", {}).get("expected") or error.get("ctx", {}).get("expected_tags") or ""
        hint = suggest(found, [c.strip(" '") for c in str(choices).replace(" or ", ",").split(",")])
    return DeclarationError(f"{name}: cannot be used{shown}", where=where, expected=expected, fix=hint)


def _written_keys(loc: tuple[str | int, ...], data: Any) -> KeyPath:
    """The part of pydantic's location that stands in the file (without the tags it adds for unions)."""
    keys: list[str | int] = []
    current = data
    for position, part in enumerate(loc):
        within = isinstance(current, list) and isinstance(part, int) and part < len(current)
        if within or (isinstance(current, dict) and part in current):
            keys.append(part)
            current = current[part]
        elif position == len(loc) - 1 and isinstance(current, dict):
            keys.append(part)
    return tuple(keys)


def _accepted(model: Any, loc: tuple[str | int, ...]) -> list[str]:
    """Field names accepted at a location, unions included."""
    models = _unwrapped([model])
    for part in loc:
        following: list[Any] = [m for m in models if part in _tags(m)]
        for candidate in models:
            if isinstance(part, str) and part in getattr(candidate, "model_fields", {}):
                following.extend(_models(candidate.model_fields[part].annotation))
            elif isinstance(part, str):
                for name, info in getattr(candidate, "model_fields", {}).items():
                    if info.alias == part:
                        following.extend(_models(candidate.model_fields[name].annotation))
        models = _unwrapped(following) or models
    names: dict[str, None] = {}
    for candidate in models:
        for name, info in getattr(candidate, "model_fields", {}).items():
            names[info.alias or name] = None
    return list(names)


def _models(annotation: Any) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for argument in get_args(annotation) for m in _models(argument)]


def _unwrapped(models: list[Any]) -> list[Any]:
    """The models themselves, with a RootModel replaced by the models it stands for."""
    found: list[Any] = []
    for model in models:
        found.extend(_models(model.model_fields["root"].annotation) if issubclass(model, RootModel) else [model])
    return found


def _tags(model: Any) -> tuple[Any, ...]:
    """The values of a model's `type` key: pydantic puts them into the location of an error inside a union."""
    info = getattr(model, "model_fields", {}).get("type")
    return get_args(info.annotation) if info else ()


def _where(path: Path, lines: dict[KeyPath, int], keys: KeyPath) -> str:
    while keys and keys not in lines:
        keys = keys[:-1]
    return f"{_short(path)}:{lines.get(keys, 1)}"


def _short(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _kind(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: "text", int: "a number", float: "a number", bool: "true/false"}
    return "nothing" if value is None else names.get(type(value), type(value).__name__)
