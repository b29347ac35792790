"""Checks a model over the warehouse and writes the SQL of its rows as of one cut-off.

The same aggregates as statistical tags (`dbt_declarations.facts`), so a feature means at a cut-off in the past what it will
mean when the model scores. What is filled in later is refused: columns with `meta: {filled_later: true}` in their contract.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlglot
from sqlglot import exp

from cdp.declarations import Document, KeyPath
from cdp.errors import DeclarationError
from cdp.settings import Settings
from dbt_declarations.contracts import Column, Contract, Type, read_contracts
from dbt_declarations.expressions import check
from dbt_declarations.facts import pass_over
from dbt_declarations.functions import DIALECT
from dbt_declarations.kinds.tags import ZERO_BY_DEFAULT
from dbt_declarations.measures import Measure, Selection, measure_type
from dbt_declarations.project import FACTS
from dbt_declarations.scope import AS_OF, ExpressionError, Scope
from dbt_declarations.sql import name, ref, render
from dbt_declarations.value_types import Typed
from predictions.declaration import LifetimeValueModel, ModelFile, OutcomeModel


@dataclass(frozen=True)
class CheckedOutcome:
    """A model that can be compiled: aggregates by table of facts, the population, the facts of the label."""

    model: OutcomeModel
    measures: dict[str, list[Measure]]
    types: dict[str, Type]
    population: Typed | None
    label: tuple[tuple[str, Typed | None], ...]

    @property
    def numeric(self) -> list[str]:
        """Features that are numbers (dates count as days before the cut-off), in declared order."""
        return [f.name for f in self.model.features if self.types[f.name] != "text"]

    @property
    def texts(self) -> list[str]:
        """Features that are texts, in declared order."""
        return [f.name for f in self.model.features if self.types[f.name] == "text"]


class Checker:
    """Types the expressions of one model against the contracts; notes every error."""

    def __init__(self, document: Document[ModelFile], contracts: dict[str, Contract]) -> None:
        self.document, self.contracts, self.errors = document, contracts, list[DeclarationError]()

    def check(self, keys: KeyPath, text: str, over: str, *, early: bool, boolean: bool = False) -> Typed | None:
        """The checked expression over one fact; `early`: only columns that are known when the fact happens."""
        contract = self.contracts.get(FACTS[over].model) or self.contracts.get(over)
        columns = {n: c for n, c in contract.columns.items() if n != "person_id"} if contract else {}
        scope = Scope({over: columns}, qualified_only=frozenset(), facts=True)
        try:
            typed = check(text, scope, ("boolean",) if boolean else ())
        except ExpressionError as error:
            self.errors.append(self.document.error(keys, error.what, expected=error.expected, fix=error.fix))
            return None
        late = sorted(c for _, c in typed.reads if columns[c].filled_later)
        if early and late:
            self.errors.append(
                self.document.error(
                    keys,
                    f"leaks: {', '.join(late)} of {over} is filled in later, when the outcome may be known",
                    expected="columns that stand when the fact happens: "
                    + ", ".join(sorted(n for n, c in columns.items() if not c.filled_later)),
                    fix="use another column, or a fact that tells the change (an event, a stage_change)",
                )
            )
            return None
        return typed


def check_outcome(document: Document[ModelFile], settings: Settings) -> list[DeclarationError]:
    """Everything that is wrong in a declared model; empty when it can be compiled."""
    from predictions.lifetime_rows import check_lifetime

    checker = Checker(document, read_contracts(settings.dbt_dir))
    model = document.value.root
    if isinstance(model, OutcomeModel):
        _checked(checker, model)
    elif isinstance(model, LifetimeValueModel):
        check_lifetime(checker, model)
    return checker.errors


def compiled(document: Document[ModelFile], settings: Settings) -> CheckedOutcome:
    """The checked model. Raises DeclarationError."""
    checker = Checker(document, read_contracts(settings.dbt_dir))
    model = document.value.root
    assert isinstance(model, OutcomeModel)  # noqa: S101 - callers choose by type
    found = _checked(checker, model)
    if checker.errors or found is None:
        raise DeclarationError.all_of(checker.errors)
    return found


def _checked(checker: Checker, model: OutcomeModel) -> CheckedOutcome | None:
    measures: dict[str, list[Measure]] = {}
    types: dict[str, Type] = {}
    for position, feature in enumerate(model.features):
        keys: KeyPath = ("features", position)
        where, of = None, None
        if feature.where is not None:
            where = checker.check((*keys, "where"), feature.where, feature.over, early=True, boolean=True)
        if feature.of is not None:
            of = checker.check((*keys, "of"), feature.of, feature.over, early=True)
        kind = measure_type(feature.aggregate, of.type if of else None)
        if kind in ("list", "json", "other"):
            checker.errors.append(
                checker.document.error(keys, f"{feature.name} is a {kind}", expected="a number, date, boolean or text")
            )
        types[feature.name] = kind
        measure = Measure(feature.name, feature.aggregate, of, Selection(where, feature.window_days))
        measures.setdefault(feature.over, []).append(measure)
    population = None
    if model.population is not None:
        columns = {n: Column(n, "text" if t == "text" else "number") for n, t in types.items()}
        scope = Scope({"feature": columns}, qualified_only=frozenset(), facts=True)
        try:
            population = check(model.population, scope, ("boolean",))
        except ExpressionError as error:
            checker.errors.append(
                checker.document.error(("population",), error.what, expected=error.expected, fix=error.fix)
            )
    label = []
    for position, happening in enumerate(model.label.any_of):
        condition = happening.where
        place = ("label", "any_of", position, "where")
        typed = checker.check(place, condition, happening.over, early=False, boolean=True) if condition else None
        label.append((happening.over, typed))
    return None if checker.errors else CheckedOutcome(model, measures, types, population, tuple(label))


def rows_at(checked: CheckedOutcome, cutoff: str, *, labelled: bool, then: bool = False) -> str:
    """The select of the rows as of `cutoff` (ISO, UTC): entity_id, the features, and with `labelled` the `label` 0 or 1.

    One row is one person (account) that was known by then and belongs to the population. No fact after the cut-off, and no
    event that arrived after it, reaches a feature. `then`: persons are those of the cut-off (`predictions.then.place`), by the id
    of who they are today: who was not yet known to be one person has several rows. Outcomes are always those of today's person.
    """
    model = checked.model
    moment = f"timestamp {exp.Literal.string(cutoff.replace('T', ' ')).sql(dialect=DIALECT)}"
    ctes = [f"entity as ({_entities(model.grain, moment, then=then)})"]
    told = _Told(model.grain, moment, then)
    joins, columns = [], []
    for over, measures in checked.measures.items():
        alias = f"facts_{over}"
        ctes.append(f"{alias} as ({_placed(pass_over(over, measures), told, early=True)})")
        joins.append(f"left join {alias} on {alias}.person_id = entity.entity_id")
        columns += [
            f"{_value(m, checked.types[m.name], f'{alias}.{name(m.name)}', moment)} as {name(m.name)}" for m in measures
        ]
    ctes.append(
        f"joined as (select entity.entity_id, entity.whose, {', '.join(columns)} from entity {' '.join(joins)})"
    )
    chosen = f"coalesce({render(checked.population)}, false)" if checked.population else "true"
    label = ""
    if labelled:
        happened = "\nunion\n".join(
            _placed(_happening(over, where, moment, model.horizon_days), told, early=False)
            for over, where in checked.label
        )
        ctes.append(f"happened as ({happened})")
        yes, no = (1, 0) if model.label.happens else (0, 1)
        label = f", case when whose in (select person_id from happened) then {yes} else {no} end as label"
    features = ", ".join(name(f.name) for f in model.features)
    select = f"select whose as entity_id, {features}{label} from joined where {chosen} order by whose, joined.entity_id"
    return f"with {', '.join(ctes)} {select}"


@dataclass(frozen=True)
class _Told:
    """Whose facts are looked for: persons or accounts, when, and whether as they were told apart then."""

    grain: str
    moment: str
    then: bool


def _entities(grain: str, moment: str, *, then: bool) -> str:
    """`entity_id`, by which facts are told; `whose`: the person of today, or the account."""
    if grain == "account":
        known = f"where coalesce(created_at, {moment}) <= {moment}"
        return f"select account_key as entity_id, account_key as whose from conformed.account_record {known}"
    if then:
        return (
            "select cast(persons.entity_key as varchar) as entity_id, persons.person_id as whose from person_then as persons"
            " inner join profiles.audience as audience on audience.person_id = persons.person_id"
        )
    return (
        "select person.person_id as entity_id, person.person_id as whose from profiles.person as person"
        " inner join profiles.audience as audience on audience.person_id = person.person_id"
        f" where person.first_seen_at <= {moment}"
    )


def _happening(over: str, where: Typed | None, moment: str, days: int) -> str:
    at = name(FACTS[over].at)
    condition = f" and coalesce({render(where)}, false)" if where else ""
    window = f"{at} > {moment} and {at} <= {moment} + interval {days} day"
    return f"select person_id from {ref(FACTS[over].model)} where person_id is not null and {window}{condition}"


def _value(measure: Measure, kind: Type, column: str, moment: str) -> str:
    """A feature as number or text; a person without a fact has 0 where nothing means 0."""
    if kind == "text":
        return f"cast({column} as varchar)"
    if kind in ("date", "timestamp"):
        return f"cast(date_diff('day', cast({column} as date), cast({moment} as date)) as double)"
    number = f"cast({column} as double)"
    return f"coalesce({number}, 0)" if measure.aggregate in ZERO_BY_DEFAULT else number


def _placed(sql: str, told: _Told, *, early: bool) -> str:
    """SQL over `ref()`s and as_of as SQL over tables of the warehouse and the cut-off."""
    tree = sqlglot.parse_one(sql, dialect=DIALECT)
    for column in list(tree.find_all(exp.Column)):
        if column.name == AS_OF:
            column.replace(sqlglot.parse_one(f"({told.moment})", dialect=DIALECT))
    for table in list(tree.find_all(exp.Table)):
        if table.name == "ref__audience":
            everybody = "(select entity_id as person_id from entity) as audience"
            table.replace(sqlglot.parse_one(everybody, dialect=DIALECT))
        elif table.name.startswith("ref__"):
            facts = _facts(table.name.removeprefix("ref__"), told, early=early)
            table.replace(sqlglot.parse_one(f"({facts}) as facts", dialect=DIALECT))
    return tree.sql(dialect=DIALECT)


def _facts(model: str, told: _Told, *, early: bool) -> str:
    """A table of facts with the entity in `person_id`. `early`: only what was known at the cut-off, with the accounts that
    people were known to belong to by then, and people as they were told apart then."""
    moment, then = told.moment, told.then and early
    known = (
        f" where coalesce(facts.received_at, facts.occurred_at) <= {moment}"
        if early and model == "person_event"
        else ""
    )
    source = f"profiles.{name(model)} as facts"
    person = "facts.person_id"
    if then:
        person, record = "cast(told.entity_key as varchar)", "facts"
        if model == "person_stage_change":  # its person is that of the lead
            source += " inner join profiles.person_lead as lead on lead.object_key = facts.object_key"
            record = "lead"
        source += f" left join record_then as told on told.sequence = {record}.sequence"
    if told.grain == "person":
        return f"select facts.* replace ({person} as person_id) from {source}{known}"
    own = "facts.account_key, " if model in ("person_lead", "person_stage_change") else ""
    members = _members(moment, then=then) if early else "select person_id, account_key from profiles.person_account"
    return (
        f"select facts.* replace (coalesce({own}members.account_key) as person_id) from {source}"
        f" left join ({members}) as members on members.person_id = {person}{known}"
    )


def _members(moment: str, *, then: bool) -> str:
    """Who was known to belong to which account: by the latest record that was known by then (an event from its arrival on)."""
    whose, records = "records.person_id", "identity.record_person"
    if then:
        whose, records = "cast(records.entity_key as varchar)", "record_then"
    return (
        f"select {whose} as person_id, arg_max(members.account_key, members.sequence) as account_key"
        " from conformed.account_member as members"
        f" inner join {records} as records on records.sequence = members.sequence"
        " inner join (select sequence, max(known_at) as known_at from (select sequence, observed_at as known_at"
        " from conformed.contact_attribute union all select sequence, coalesce(received_at, occurred_at) from conformed.event)"
        " group by sequence) as made on made.sequence = members.sequence"
        f" where made.known_at <= {moment} group by {whose}"
    )
