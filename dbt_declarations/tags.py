"""Checks tags: every expression is typed, every name exists, nothing is defined by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from cdp.declarations import Document, suggest
from cdp.errors import DeclarationError
from dbt_declarations.contracts import Column, Type
from dbt_declarations.exclusive import yields_to
from dbt_declarations.expressions import check
from dbt_declarations.graph import cycles, layers
from dbt_declarations.kinds import AttributeTag, ManualTag, MinedTag, RuleTag, StatisticalTag
from dbt_declarations.kinds.base import Dated
from dbt_declarations.kinds.tags import ZERO_BY_DEFAULT
from dbt_declarations.measures import Measure, Selection, measure_type
from dbt_declarations.predicted import OUTPUTS
from dbt_declarations.project import Project, declared, duplicates
from dbt_declarations.scope import Scope
from dbt_declarations.value_types import Typed

VALUE_TYPES: dict[Type, str] = {
    "text": "text",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "date",
    "list": "list",
}


@dataclass(frozen=True)
class CheckedTag:
    """A tag that can be compiled. `kind` is its declared type, or `model` for one written by hand."""

    name: str
    kind: str
    type: Type
    declaration: Dated | None = None
    cases: tuple[tuple[Typed, str | None], ...] = ()
    value: Typed | None = None
    otherwise: str | None = None
    measure: tuple[str, Measure] | None = None
    yields_to: tuple[str, ...] = ()
    pii: str = "none"
    known_at: Typed | None = None  # since when, where neither facts nor the profile say it

    @property
    def reads(self) -> frozenset[tuple[str, str]]:
        """The columns that the value is computed from in the wide pass."""
        typed = [self.value] if self.value else [when for when, _ in self.cases]
        typed += [self.known_at] if self.known_at else []
        return frozenset().union(*(t.reads for t in typed), {("tag", n) for n in self.yields_to})

    @property
    def rests_on(self) -> frozenset[tuple[str, str]]:
        """All columns that the value is made from, those of facts included."""
        of = [t for t in (self.measure[1].of, self.measure[1].selection.where) if t] if self.measure else []
        return self.reads.union(*(t.reads for t in of))

    @property
    def is_computed(self) -> bool:
        """Whether the wide pass computes it (the others are joined to the pass)."""
        return self.kind in ("attribute", "rule", "mined")

    @property
    def zero(self) -> str | None:
        """The value that says nothing and is not assigned: false, or 0 where there is no fact."""
        if self.type == "boolean":
            return "false"
        aggregate = self.measure[1].aggregate if self.measure else ""
        return "0" if aggregate in ZERO_BY_DEFAULT else None


def check_tags(project: Project) -> list[CheckedTag]:
    """All tags of the project by name; what is wrong is noted in its problems."""
    duplicates(project.tags, project.tag_models, "tag", project.problems)
    documents = {declared(d).name: d for d in project.tags}
    profile = Scope(project.profile_scope())
    found: dict[str, CheckedTag] = {}
    for name, document in documents.items():
        tag = _first_step(project, document, profile)
        if tag is not None:
            found[name] = tag
    for name in project.tag_models:
        handwritten = _handwritten(project, name)
        if handwritten is not None:
            found[name] = handwritten
    columns = {n: Column(n, t.type) for n, t in found.items()}
    # A tag with an error still has a name: others that use it are not wrong because of it.
    guessed = {**project.broken("tags"), **_guessed(documents, columns)}
    everything = Scope({**profile.namespaces, "tag": {**guessed, **columns}})
    for name, document in documents.items():
        if isinstance(declared(document), RuleTag):
            rule = _rule(project, document, everything)
            if rule is not None:
                found[name] = rule
    for name, others in yields_to(project, documents, set(found)).items():
        found[name] = replace(found[name], yields_to=others)
    uses = {n: {c for ns, c in t.reads if ns == "tag"} for n, t in found.items()}
    for path in cycles(uses):
        document = documents[path[0]]
        project.problems.errors.append(
            document.error(("name",), f"tag is defined by itself: {' -> '.join(path)}", fix="break the circle")
        )
    _inherit_pii(project, documents, found, everything)
    return [found[n] for n in sorted(found)]


def _inherit_pii(
    project: Project, documents: dict[str, Document[Any]], found: dict[str, CheckedTag], scope: Scope
) -> None:
    """Give each tag its class of personal data: the declared one, else those of all that it is made from."""
    joined = [t for t in found.values() if not t.is_computed]
    for tag in [*joined, *(t for layer in tag_layers(list(found.values())) for t in layer)]:
        document = documents.get(tag.name)
        if document is None:
            continue
        namespaces = {**scope.namespaces}
        if tag.measure:
            namespaces |= project.fact_scope(tag.measure[0]).namespaces
        classes = {
            f"{namespace}.{column}": found[column].pii
            if namespace == "tag" and column in found
            else namespaces[namespace][column].pii
            for namespace, column in tag.rests_on
        }
        inherited = inherit_pii(project, document, classes)
        found[tag.name] = replace(tag, pii=inherited)


def inherit_pii(project: Project, document: Document[Any], classes: dict[str, str]) -> str:
    """The class of a declaration that is made from columns of these classes. Without a reason it cannot be `none`."""
    declared_class, reason = declared(document).pii, declared(document).pii_reason
    personal = {column: pii for column, pii in sorted(classes.items()) if pii != "none"}
    if declared_class == "none" and personal and reason is None:
        project.problems.errors.append(
            document.error(
                ("pii",),
                f"is none, but the value is made from personal data ({', '.join(personal)})",
                expected="pii_reason: why the value is no personal data",
                fix="add pii_reason, or leave pii out to inherit it",
            )
        )
    return declared_class or "+".join(sorted(set("+".join(personal.values()).split("+")))) or "none"


def tag_layers(tags: list[CheckedTag]) -> list[list[CheckedTag]]:
    """Computed tags in layers; each uses tags of earlier layers and tags that are joined."""
    computed = {t.name: t for t in tags if t.is_computed}
    uses = {n: {c for ns, c in t.reads if ns == "tag"} & computed.keys() for n, t in computed.items()}
    return [[computed[n] for n in layer] for layer in layers(uses)]


def _guessed(documents: dict[str, Document[Any]], known: dict[str, Column]) -> dict[str, Column]:
    guesses: dict[str, Column] = {}
    for name, document in documents.items():
        tag = declared(document)
        if name not in known:
            kind: Type = ("text" if tag.cases else "boolean") if isinstance(tag, RuleTag) else "any"
            guesses[name] = Column(name, kind)
    return guesses


def _first_step(project: Project, document: Document[Any], profile: Scope) -> CheckedTag | None:
    tag = declared(document)
    if isinstance(tag, AttributeTag):
        value = project.check(document, ("value",), tag.value, profile)
        if value is None:
            return None
        _check_type(project, document, value.type, tag.value_type)
        return CheckedTag(tag.name, tag.type, _day(value.type), tag, value=value)
    if isinstance(tag, StatisticalTag):
        return _statistical(project, document, tag)
    if isinstance(tag, MinedTag):
        return mined(project, document, tag, profile)
    if isinstance(tag, ManualTag):
        kinds: dict[str, Type] = {
            "number": "number",
            "text": "text",
            "boolean": "boolean",
            "date": "date",
            "list": "list",
        }
        return CheckedTag(tag.name, tag.type, kinds[tag.value_type], tag)
    return None


def _statistical(project: Project, document: Document[Any], tag: StatisticalTag) -> CheckedTag | None:
    scope = project.fact_scope(tag.over)
    if not scope.namespaces[tag.over]:
        project.problems.errors.append(
            document.error(
                ("over",), f"there is no contract of {tag.over} facts", fix="add the model's columns to its .yml"
            )
        )
        return None
    where = project.check(document, ("where",), tag.where, scope, "boolean") if tag.where else None
    numeric = ("number",) if tag.aggregate in ("sum", "avg") else ()
    of = project.check(document, ("of",), tag.of, scope, *numeric) if tag.of else None
    if (tag.where and where is None) or (tag.of and of is None):
        return None
    kind = measure_type(tag.aggregate, of.type if of else None)
    _check_type(project, document, kind, tag.value_type)
    measure = Measure(
        tag.name, tag.aggregate, of, Selection(where, tag.window_days, tag.window_hours, tag.window_sessions)
    )
    return CheckedTag(tag.name, tag.type, _day(kind), tag, measure=(tag.over, measure))


def _rule(project: Project, document: Document[Any], scope: Scope) -> CheckedTag | None:
    tag: RuleTag = declared(document)
    if tag.when is not None:
        value = project.check(document, ("when",), tag.when, scope, "boolean")
        return CheckedTag(tag.name, tag.type, "boolean", tag, value=value) if value else None
    cases = []
    for position, case in enumerate(tag.cases or []):
        when = project.check(document, ("cases", position, "when"), case.when, scope, "boolean")
        if when is not None:
            cases.append((when, case.value))
    return CheckedTag(tag.name, tag.type, "text", tag, cases=tuple(cases), otherwise=tag.otherwise)


def mined(project: Project, document: Document[Any], tag: MinedTag, profile: Scope) -> CheckedTag | None:
    """The tag of what a model says. An output that the model does not have is noted."""
    namespace, has_value = project.predicted.get(tag.model, ("", False))
    if not namespace:
        known = sorted(project.predicted)
        project.problems.errors.append(
            document.error(
                ("model",),
                f'there is no model "{tag.model}"',
                expected="one of " + ", ".join(known) if known else "a file scores/models/<name>.yml",
                fix=suggest(tag.model, known),
            )
        )
        return None
    if tag.output in ("expected_orders", "expected_value") and not has_value:
        project.problems.errors.append(
            document.error(
                ("output",), f'is "{tag.output}", which {tag.model} does not say', expected="probability or decile"
            )
        )
        return None
    ending = next(e for e, (output, _) in OUTPUTS.items() if output == tag.output)
    said = check(f"{namespace}.{tag.model}{ending}", profile)
    at = check(f"{namespace}.{tag.model}_scored_at", profile)
    if tag.bands is None:
        return CheckedTag(tag.name, tag.type, said.type, tag, value=said, known_at=at)
    cases = tuple(
        (check(f"{namespace}.{tag.model}{ending} >= {band.at_least!r}", profile, ("boolean",)), band.value)
        for band in tag.bands
        if band.at_least is not None
    )
    last = tag.bands[-1]
    rest = check(f"{namespace}.{tag.model}{ending} is not null", profile, ("boolean",))
    cases += ((rest, last.value),) if last.at_least is None else ()
    return CheckedTag(tag.name, tag.type, "text", tag, cases=cases, known_at=at)


def _check_type(project: Project, document: Document[Any], found: Type, declared_type: str | None) -> None:
    value_type = VALUE_TYPES.get(found)
    if value_type is None:
        project.problems.errors.append(
            document.error((), "the value has no type: it is always null", fix="write a value")
        )
    elif declared_type is not None and value_type != declared_type:
        project.problems.errors.append(
            document.error(
                ("value_type",), f'is "{declared_type}", but the value is a {value_type}', expected=value_type
            )
        )


def _handwritten(project: Project, name: str) -> CheckedTag | None:
    """A tag written by hand; its .yml says the type of `value`."""
    path = project.tag_models[name]
    contract = project.contracts.get(path.stem)
    column = contract.columns.get("value") if contract else None
    if column is None or column.type not in VALUE_TYPES:
        project.problems.errors.append(
            DeclarationError(
                "the type of its value is not declared",
                where=str(path),
                expected=f"{path.stem}.yml beside it with the columns person_id and value, each with data_type",
                fix="add the file",
            )
        )
        return None
    return CheckedTag(name, "model", _day(column.type), pii=column.pii)


def _day(kind: Type) -> Type:
    """Tags hold days, not moments."""
    return "date" if kind == "timestamp" else kind
