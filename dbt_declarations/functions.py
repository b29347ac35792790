"""The functions that an expression may call, with the types of their arguments and of their value.

Everything else is refused: what is not listed may read the clock, a file or another row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlglot import exp

from dbt_declarations.contracts import Type
from dbt_declarations.scope import AS_OF, ExpressionError

DIALECT = "duckdb"
Build = Callable[[list[exp.Expression]], exp.Expression]
MOMENTS: tuple[Type, ...] = ("date", "timestamp")
NUMBERS: tuple[Type, ...] = ("integer", "number")

# What `cast` may turn a value into; anything that does not fit becomes nothing.
CASTS: dict[str, tuple[str, Type]] = {
    "TEXT": ("varchar", "text"),
    "VARCHAR": ("varchar", "text"),
    "INT": ("bigint", "integer"),
    "BIGINT": ("bigint", "integer"),
    "DOUBLE": ("double", "number"),
    "BOOLEAN": ("boolean", "boolean"),
    "DATE": ("date", "date"),
    "TIMESTAMP": ("timestamp", "timestamp"),
}
# A run has one moment, as_of; these would read another.
CLOCK_NAMES = {"now", "today", "get_current_timestamp", "transaction_timestamp", "current_localtimestamp"}
CLOCKS = (exp.CurrentTimestamp, exp.CurrentDate, exp.CurrentTime, exp.CurrentDatetime)


_ONE_ROW = "declare a statistical tag for the aggregate and use the tag here"
_OTHER_ROWS = (
    ((exp.Query, exp.Exists, exp.Subquery), "a subquery"),
    ((exp.Window,), "a window function"),
    ((exp.AggFunc,), "an aggregate"),
)


def refuse_other_rows(node: exp.Expression, written: str) -> None:
    """Raise ExpressionError for what reads other rows or the clock; `written`: the node, as messages show it."""
    for kinds, name in _OTHER_ROWS:
        if isinstance(node, kinds):
            raise ExpressionError(f"{name} stands in: {written}", expected="columns of one row", fix=_ONE_ROW)
    if isinstance(node, CLOCKS) or node.name.lower() in CLOCK_NAMES:
        raise ExpressionError(
            f"{written.lower()} reads the clock", expected="a moment relative to the run's as_of", fix="days_since()"
        )


@dataclass(frozen=True)
class Function:
    """`takes`: accepted types by position, the last repeats when `variadic`; `gives`: None = type of the arguments."""

    takes: tuple[tuple[Type, ...], ...]
    gives: Type | None
    build: Build
    variadic: bool = False
    least: int | None = None
    facts_only: bool = False
    literal: tuple[int, ...] = ()

    @property
    def fewest(self) -> int:
        """The least number of arguments."""
        return len(self.takes) if self.least is None else self.least


def as_of() -> exp.Expression:
    """The moment of the run; a mark that the compiler replaces with the macro `as_of()`."""
    return exp.column(AS_OF)


def to_double(value: exp.Expression) -> exp.Expression:
    """Arithmetic in double precision: integers would overflow into an error."""
    return exp.cast(value, "double")


def _call(name: str) -> Build:
    return lambda args: exp.func(name, *args, dialect=DIALECT)


def _days_since(args: list[exp.Expression]) -> exp.Expression:
    moment = exp.cast(args[0], "timestamp")
    return exp.Anonymous(this="date_sub", expressions=[exp.Literal.string("day"), moment, as_of()])


def _years_since(args: list[exp.Expression]) -> exp.Expression:
    moment = exp.cast(args[0], "timestamp")
    return exp.Anonymous(this="date_sub", expressions=[exp.Literal.string("year"), moment, as_of()])


def _property(kind: str) -> Build:
    def build(args: list[exp.Expression]) -> exp.Expression:
        path = exp.Literal.string(f'$."{args[0].name}"')
        text = exp.Anonymous(this="json_extract_string", expressions=[exp.column("properties", quoted=True), path])
        return text if kind == "varchar" else exp.TryCast(this=text, to=exp.DataType.build(kind))

    return build


def _try_cast(kind: str) -> Build:
    return lambda args: exp.TryCast(this=args[0], to=exp.DataType.build(kind))


_TEXT: tuple[Type, ...] = ("text",)
_ANY: tuple[Type, ...] = ("text", "integer", "number", "boolean", "date", "timestamp")
_ORDERED: tuple[Type, ...] = ("text", "integer", "number", "date", "timestamp")

FUNCTIONS: dict[str, Function] = {
    "lower": Function((_TEXT,), "text", _call("lower")),
    "upper": Function((_TEXT,), "text", _call("upper")),
    "trim": Function((_TEXT,), "text", _call("trim")),
    "length": Function((_TEXT,), "integer", _call("length")),
    "left": Function((_TEXT, ("integer",)), "text", _call("left")),
    "right": Function((_TEXT, ("integer",)), "text", _call("right")),
    "replace": Function((_TEXT, _TEXT, _TEXT), "text", _call("replace")),
    "split_part": Function((_TEXT, _TEXT, ("integer",)), "text", _call("split_part")),
    "concat": Function((_ANY,), "text", _call("concat"), variadic=True),
    "starts_with": Function((_TEXT, _TEXT), "boolean", _call("starts_with")),
    "ends_with": Function((_TEXT, _TEXT), "boolean", _call("ends_with")),
    "contains": Function((_TEXT, _TEXT), "boolean", _call("contains")),
    "regexp_matches": Function((_TEXT, _TEXT), "boolean", _call("regexp_matches"), literal=(1,)),
    "list_contains": Function((("list",), _TEXT), "boolean", _call("list_contains")),
    "abs": Function((NUMBERS,), None, _call("abs")),
    "round": Function((NUMBERS, ("integer",)), "number", _call("round"), least=1),
    "floor": Function((NUMBERS,), "number", lambda args: exp.Floor(this=to_double(args[0]))),
    "ceil": Function((NUMBERS,), "number", lambda args: exp.Ceil(this=to_double(args[0]))),
    "coalesce": Function((_ANY,), None, _call("coalesce"), variadic=True, least=2),
    "nullif": Function((_ANY, _ANY), None, _call("nullif")),
    "greatest": Function((_ORDERED,), None, _call("greatest"), variadic=True, least=2),
    "least": Function((_ORDERED,), None, _call("least"), variadic=True, least=2),
    "year": Function((MOMENTS,), "integer", _call("year")),
    "month": Function((MOMENTS,), "integer", _call("month")),
    "day": Function((MOMENTS,), "integer", _call("day")),
    "hour": Function((("timestamp",),), "integer", _call("hour")),
    "weekday": Function((MOMENTS,), "integer", _call("isodow")),
    "days_since": Function((MOMENTS,), "integer", _days_since),
    "years_since": Function((MOMENTS,), "integer", _years_since),
    "to_number": Function((_TEXT,), "number", _try_cast("double")),
    "to_date": Function((("text", "timestamp", "date"),), "date", _try_cast("date")),
    "property": Function((_TEXT,), "text", _property("varchar"), facts_only=True, literal=(0,)),
    "property_number": Function((_TEXT,), "number", _property("double"), facts_only=True, literal=(0,)),
    "property_boolean": Function((_TEXT,), "boolean", _property("boolean"), facts_only=True, literal=(0,)),
}


def written_name(node: exp.Func) -> str:
    """The name that was called."""
    renamed = {exp.RegexpLike: "regexp_matches", exp.Ceil: "ceil", exp.ArrayContains: "list_contains"}
    for kind, name in renamed.items():
        if isinstance(node, kind):
            return name
    return node.sql(DIALECT).split("(", 1)[0].strip()


def arguments(node: exp.Func) -> list[exp.Expression] | None:
    """The arguments in written order; None when the call carries something that no listed function has."""
    found: list[exp.Expression] = []
    for key in ["expressions"] if isinstance(node, exp.Anonymous) else list(node.arg_types):
        value = node.args.get(key)
        if isinstance(value, list):
            found.extend(value)
        elif isinstance(value, exp.Expression):
            found.append(value)
        elif value not in (None, False, True):
            return None
    return found
