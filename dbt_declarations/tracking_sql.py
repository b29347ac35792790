"""One event of the plan as SQL over the JSON of what arrived: the same verdict as `ingest.tracking_plan.validator_for`.

All properties of an event are taken out of its JSON in one pass (`vals`, a list in declared order), and only for events of
that name. Each violation is a struct `rule, path, value, if_missing, if_invalid`; found values are masked only where there is
one. Every name and value of a declaration goes through sqlglot's literals.
"""

from __future__ import annotations

from sqlglot import exp

from cdp.tracking_plan import Action, Enforcement, Event, Property

# RE2, the same texts as in ingest/tracking_plan/{rules,verdict}.py; a test compares them
DATE = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
DATETIME = DATE + r"[T ]([01]\d|2[0-3]):[0-5]\d(:([0-5]\d|60)(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?"
PLAIN_NAME = r"[\p{L}\p{N}_ .:/-]+"
NAME_LENGTH = 80
SHOWN = 40
_NUMBERS = "('BIGINT', 'UBIGINT', 'HUGEINT', 'DOUBLE')"


def literal(value: str) -> str:
    """A text as SQL."""
    return exp.Literal.string(value).sql(dialect="duckdb")


def number(value: float) -> str:
    """A number as a double: a decimal literal would compare otherwise than Python does."""
    return f"cast({literal(repr(float(value)))} as double)"


def paths_sql(event: Event, source: str | None) -> str:
    """The list of the event's top-level values, in declared order; of an event of other sources none is needed."""
    if source is not None and source not in event.sources:
        return "cast(null as json[])"
    paths = ", ".join(_path(name) for name in event.properties)
    return f"json_extract(bag, [{paths}])" if paths else "cast(null as json[])"


def _path(name: str) -> str:
    return literal(f'$."{name}"')


def violations_sql(event: Event, rules: Enforcement, source: str | None) -> str:
    """The list of an event's violations: over `vals`, `bag` and `call_name`."""
    nothing = "cast(null as json)"
    if source is not None and source not in event.sources:
        action = rules.misplaced_event or "allow"
        return f"[{struct(literal('wrong_source'), literal(''), nothing, action)}]"
    lists = [_misplaced(event, rules)]
    if rules.invalid_property != "allow":
        action = "flag" if rules.invalid_property == "drop" else rules.invalid_property or "flag"
        lists.append(_when("json_type(bag) not in ('NULL', 'OBJECT')", struct("'not_an_object'", "''", "bag", action)))
    for position, (name, spec) in enumerate(event.properties.items(), 1):
        lists += _property(name, spec, f"vals[{position}]", rules)
    unplanned = rules.unplanned_property or "allow"
    if unplanned != "allow":
        planned = ", ".join(literal(name) for name in event.properties)
        keys = f"list_filter(json_keys(bag), lambda k: k not in ({planned}))" if planned else "json_keys(bag)"
        made = struct("'unplanned_property'", "k", nothing, unplanned)
        lists.append(f"list_transform({keys}, lambda k: {made})")
    return f"flatten([{', '.join(f'coalesce({one}, [])' for one in lists if one)}])" if any(lists) else "[]"


def unplanned_sql(rules: Enforcement) -> str:
    """The violation of an event that nobody planned."""
    action = rules.unplanned_event or "allow"
    return f"[{struct(literal('unplanned_event'), literal(''), 'cast(null as json)', action)}]"


def struct(rule: str, path: str, value: str, if_missing: Action, if_invalid: Action | None = None) -> str:
    """One violation as a struct; the arguments but the actions are SQL."""
    return (
        f"struct_pack(rule := {rule}, path := {path}, value := {value}, "
        f"if_missing := {literal(if_missing)}, if_invalid := {literal(if_invalid or if_missing)})"
    )


def _when(condition: str, made: str) -> str:
    return f"case when {condition} then [{made}] end"


def _misplaced(event: Event, rules: Enforcement) -> str:
    action = rules.misplaced_event or "allow"
    if action == "allow":
        return ""
    rule = {"planned": "not_live_yet", "deprecated": "deprecated"}.get(event.status)
    nothing = "cast(null as json)"
    made = [f"[{struct(literal(rule), literal(''), nothing, action)}]"] if rule else []
    if event.call_names:
        names = ", ".join(literal(n) for n in event.call_names)
        condition = f"call_name is null or call_name not in ({names})"
        made.append(
            f"coalesce({_when(condition, struct(literal('name_not_planned'), literal(''), nothing, action))}, [])"
        )
    return f"flatten([{', '.join(made)}])" if made else ""


def _property(name: str, spec: Property, value: str, rules: Enforcement) -> list[str]:
    """Violations of a top-level property and of what is inside it."""
    wanted: Action = spec.on_violation or rules.missing_property or "flag"
    missing: Action = "flag" if wanted == "drop" else wanted
    invalid: Action = spec.on_violation or rules.invalid_property or "flag"
    lists = []
    if missing != "allow" or invalid != "allow":
        made = struct(rule_sql(spec, value), literal(name), value, missing, invalid)
        lists.append(f"list_filter([{made}], lambda x: x.rule is not null)")
    if invalid != "allow":
        for path, values, inner in _inner(name, spec, f"[{value}]"):
            judged = f"list_transform({values}, lambda x: struct_pack(rule := {rule_sql(inner, 'x')}, value := x))"
            first = f"list_filter({judged}, lambda x: x.rule is not null)[1:1]"
            lists.append(f"list_transform({first}, lambda f: {struct('f.rule', literal(path), 'f.value', invalid)})")
    return lists


def _inner(path: str, spec: Property, values: str) -> list[tuple[str, str, Property]]:
    """(path, SQL of the list of values there, property) of everything below a property, parents before children."""
    found: list[tuple[str, str, Property]] = []
    if spec.items is not None:
        arrays = f"list_filter({values}, lambda a: json_type(a) = 'ARRAY')"
        items = f"flatten(list_transform({arrays}, lambda a: json_extract(a, '$[*]')))"
        found += [(f"{path}[]", items, spec.items), *_inner(f"{path}[]", spec.items, items)]
    for name, child in spec.properties.items():
        objects = f"list_filter({values}, lambda o: json_type(o) = 'OBJECT')"
        fields = f"list_transform({objects}, lambda o: json_extract(o, {_path(name)}))"
        found += [(f"{path}.{name}", fields, child), *_inner(f"{path}.{name}", child, fields)]
    return found


def rule_sql(spec: Property, value: str) -> str:
    """The first rule that a single JSON value breaks, or null."""
    text, double, kind = f"({value} ->> '$')", f"try_cast({value} ->> '$' as double)", f"json_type({value})"
    number_fits = f"{kind} in {_NUMBERS} and isfinite({double})"
    fits = {
        "string": f"{kind} = 'VARCHAR'",
        "number": number_fits,
        "integer": f"{number_fits} and {double} = trunc({double})",
        "boolean": f"{kind} = 'BOOLEAN'",
        "object": f"{kind} = 'OBJECT'",
        "array": f"{kind} = 'ARRAY'",
        "date": f"{kind} = 'VARCHAR' and regexp_full_match({text}, {literal(DATE)})",
        "datetime": f"{kind} = 'VARCHAR' and regexp_full_match({text}, {literal(DATETIME)})",
    }[spec.type]
    absent = literal("missing") if spec.required else "null"
    cases = [f"when {value} is null or {kind} = 'NULL' then {absent}", f"when not ({fits}) then 'wrong_type'"]
    if spec.values:
        listed = ", ".join(literal(v) if isinstance(v, str) else number(v) for v in spec.values)
        cases.append(f"when {text if spec.type == 'string' else double} not in ({listed}) then 'not_allowed'")
    if spec.pattern is not None:
        cases.append(f"when not regexp_full_match({text}, {literal(spec.pattern)}) then 'pattern_mismatch'")
    if spec.max_length is not None:
        cases.append(f"when length({text}) > {spec.max_length} then 'too_long'")
    if spec.min is not None:
        cases.append(f"when {double} < {number(spec.min)} then 'below_minimum'")
    if spec.max is not None:
        cases.append(f"when {double} > {number(spec.max)} then 'above_maximum'")
    return f"case {' '.join(cases)} end"


def masked_sql(value: str) -> str:
    """What was found without saying it: the shape of a text, else the JSON type; null stays null."""
    text = shape_sql(f"({value} ->> '$')")
    return (
        f"case json_type({value}) when 'VARCHAR' then {text} when 'OBJECT' then 'object' "
        f"when 'ARRAY' then 'array' when 'BOOLEAN' then 'boolean' when 'NULL' then null "
        f"else case when {value} is not null then 'number' end end"
    )


def shown_sql(name: str) -> str:
    """A name that somebody chose: as it is when it looks like a name, else its shape."""
    plain = f"length({name}) <= {NAME_LENGTH} and regexp_full_match({name}, {literal(PLAIN_NAME)})"
    return f"case when {plain} then {name} else {shape_sql(name)} end"


def shape_sql(text: str) -> str:
    """Letters as x, digits as 9, of the beginning."""
    letters = f"regexp_replace(left({text}, {SHOWN}), {literal(chr(92) + 'p{L}')}, 'x', 'g')"
    digits = f"regexp_replace({letters}, {literal(chr(92) + 'p{Nd}')}, '9', 'g')"
    return f"regexp_replace({digits}, {literal(chr(92) + 'p{Cc}')}, ' ', 'g')"
