"""Parses an expression of a declaration with sqlglot, checks names and types, and rebuilds it as SQL that cannot fail.

The SQL that leaves is built from checked parts, never the written text: columns are resolved, arithmetic runs in double
precision, divisors of 0 and casts that do not fit give nothing instead of an error.
"""

from __future__ import annotations

import re

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from cdp.declarations import suggest
from dbt_declarations.contracts import Type
from dbt_declarations.functions import (
    CASTS,
    DIALECT,
    FUNCTIONS,
    MOMENTS,
    Function,
    arguments,
    refuse_other_rows,
    to_double,
    written_name,
)
from dbt_declarations.scope import ExpressionError, Scope
from dbt_declarations.value_types import (
    Typed,
    a_kind,
    as_moment,
    check_literal,
    common,
    convert,
    fits,
    show,
    syntax_message,
    to_do,
)

_COMPARED = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ)
_ORDERING = (exp.GT, exp.GTE, exp.LT, exp.LTE)
_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod)


def check(text: str, scope: Scope, wanted: tuple[Type, ...] = ()) -> Typed:
    """The checked form of `text`. Raises ExpressionError; never anything else, whatever the text."""
    try:
        tree = sqlglot.parse_one(text, dialect=DIALECT)
        typed = _Checker(scope).visit(tree)
    except SqlglotError as error:
        fix = "check quotes and brackets"
        raise ExpressionError(syntax_message(str(error)), expected="an SQL expression", fix=fix) from None
    except RecursionError:
        raise ExpressionError("is nested too deeply", fix="split it into several declarations") from None
    if wanted and not any(fits(typed.type, w) for w in wanted):
        raise ExpressionError(
            f"is {a_kind(typed.type)}", expected=" or ".join(a_kind(w) for w in wanted), fix=to_do(wanted)
        )
    return typed


class _Checker:
    """Visits the tree that sqlglot parsed; what no method handles is refused."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def visit(self, node: exp.Expression) -> Typed:
        """The checked form of one node."""
        if isinstance(node, exp.Paren):
            inner = self.visit(node.this)
            return Typed(exp.paren(inner.sql, copy=False), inner.type, inner.reads)
        if isinstance(node, exp.Column):
            return self._column(node)
        if isinstance(node, exp.Literal):
            return self._literal(node)
        if isinstance(node, exp.Boolean):
            return Typed(node.copy(), "boolean")
        if isinstance(node, exp.Null):
            return Typed(exp.Null(), "null")
        if isinstance(node, exp.And | exp.Or):
            return self._logic(node)
        if isinstance(node, exp.Not):
            inner = self._visit_as(node.this, "boolean", "not")
            return Typed(exp.not_(exp.paren(inner.sql)), "boolean", inner.reads)
        if isinstance(node, _COMPARED):
            return self._comparison(node)
        if isinstance(node, _ARITHMETIC):
            return self._arithmetic(node)
        for kind, method in (
            (exp.Neg, self._negative), (exp.Between, self._between), (exp.In, self._in), (exp.Is, self._is),
            (exp.Like, self._like), (exp.ILike, self._like), (exp.Case, self._case), (exp.If, self._case),
            (exp.Cast, self._cast), (exp.DPipe, self._joined),
        ):  # fmt: skip
            if isinstance(node, kind):
                return method(node)
        return self._other(node)

    def _visit_as(self, node: exp.Expression, wanted: Type, what: str) -> Typed:
        typed = self.visit(node)
        if not fits(typed.type, wanted):
            raise ExpressionError(f"{what} is given {a_kind(typed.type)}: {show(node)}", expected=a_kind(wanted))
        return typed

    def _column(self, node: exp.Column) -> Typed:
        if node.args.get("db") or node.args.get("catalog") or isinstance(node.this, exp.Star):
            raise ExpressionError(f'"{show(node)}" is not a column', expected="column or prefix.column")
        namespace, column = self.scope.resolve(node.table.lower(), node.name.lower())
        if column.type in ("json", "other"):
            fix = "write property('name')" if column.name == "properties" and self.scope.facts else "use another column"
            raise ExpressionError(
                f'"{column.name}" is {a_kind(column.type)}', expected="a column of a simple type", fix=fix
            )
        return Typed(self.scope.written(namespace, column), column.type, frozenset({(namespace, column.name)}))

    def _literal(self, node: exp.Literal) -> Typed:
        if node.is_string:
            return Typed(node.copy(), "text")
        value = float(node.name)
        if value in (float("inf"), float("-inf")) or abs(value) > 1e15:
            raise ExpressionError(f"{node.name[:20]} is too large", expected="a number of 15 digits at most")
        return Typed(node.copy(), "integer" if re.fullmatch(r"\d+", node.name) else "number")

    def _logic(self, node: exp.And | exp.Or) -> Typed:
        word = "and" if isinstance(node, exp.And) else "or"
        # sqlglot chains a and b and c to the left: walking the chain in a loop keeps long lists off the stack.
        parts: list[exp.Expression] = []
        current: exp.Expression = node
        while type(current) is type(node):
            parts.append(current.expression)
            current = current.this
        typed = [self._visit_as(p, "boolean", word) for p in [current, *reversed(parts)]]
        joined = (exp.and_ if word == "and" else exp.or_)(*[t.sql for t in typed])
        return Typed(exp.paren(joined, copy=False), "boolean", _reads(typed))

    def _comparison(self, node: exp.Expression) -> Typed:
        left, right = self._comparable(node.this, node.expression, node)
        if isinstance(node, _ORDERING) and left.type in ("boolean", "list"):
            raise ExpressionError(f"{a_kind(left.type)} has no order: {show(node)}", expected="= or <>")
        return Typed(type(node)(this=left.sql, expression=right.sql), "boolean", left.reads | right.reads)

    def _comparable(self, one: exp.Expression, other: exp.Expression, whole: exp.Expression) -> tuple[Typed, Typed]:
        left, right = self.visit(one), self.visit(other)
        left, right = as_moment(left, one, right.type), as_moment(right, other, left.type)
        if common([left.type, right.type]) is None:
            raise ExpressionError(
                f"{a_kind(left.type)} is compared with {a_kind(right.type)}: {show(whole)}",
                expected="two values of one type",
                fix=convert(left.type, right.type),
            )
        if "null" in (left.type, right.type):
            raise ExpressionError(f"a comparison with null is never true: {show(whole)}", fix="write `is null`")
        return left, right

    def _arithmetic(self, node: exp.Expression) -> Typed:
        left, right = (self._visit_as(n, "number", "arithmetic") for n in (node.this, node.expression))
        second: exp.Expression = to_double(right.sql)
        if isinstance(node, exp.Div | exp.Mod):
            second = exp.func("nullif", second, exp.Literal.number(0))
        made = type(node)(this=to_double(left.sql), expression=second)
        if isinstance(made, exp.Div):
            made.set("typed", False)
            made.set("safe", False)
        return Typed(exp.paren(made), "number", left.reads | right.reads)

    def _negative(self, node: exp.Expression) -> Typed:
        inner = self._visit_as(node.this, "number", "minus")
        return Typed(exp.paren(exp.Neg(this=inner.sql)), inner.type, inner.reads)

    def _between(self, node: exp.Expression) -> Typed:
        value, low = self._comparable(node.this, node.args["low"], node)
        _, high = self._comparable(node.this, node.args["high"], node)
        made = exp.Between(this=value.sql, low=low.sql, high=high.sql)
        return Typed(exp.paren(made), "boolean", _reads([value, low, high]))

    def _in(self, node: exp.Expression) -> Typed:
        if node.args.get("query") or node.args.get("unnest") or node.args.get("field"):
            raise ExpressionError(f"a subquery stands in: {show(node)}", expected="a list of values")
        pairs = [self._comparable(node.this, item, node) for item in node.expressions]
        if not pairs:
            raise ExpressionError("in () has no value", expected="a list of values")
        made = exp.In(this=pairs[0][0].sql, expressions=[item.sql for _, item in pairs])
        return Typed(exp.paren(made), "boolean", _reads([t for pair in pairs for t in pair]))

    def _is(self, node: exp.Expression) -> Typed:
        if isinstance(node.expression, exp.Null):
            inner = self.visit(node.this)
        elif isinstance(node.expression, exp.Boolean):
            inner = self._visit_as(node.this, "boolean", "is true/false")
        else:
            raise ExpressionError(f"cannot read: {show(node)}", expected="is null, is true or is false")
        return Typed(exp.paren(exp.Is(this=inner.sql, expression=node.expression.copy())), "boolean", inner.reads)

    def _like(self, node: exp.Expression) -> Typed:
        value = self._visit_as(node.this, "text", "like")
        pattern = self._visit_as(node.expression, "text", "like")
        made = type(node)(this=value.sql, expression=pattern.sql)
        return Typed(exp.paren(made), "boolean", value.reads | pattern.reads)

    def _case(self, node: exp.Expression) -> Typed:
        if node.args.get("this") is not None and isinstance(node, exp.Case):
            raise ExpressionError("case with a value after it", expected="case when <condition> then <value> ... end")
        branches = node.args["ifs"] if isinstance(node, exp.Case) else [node]
        default = node.args.get("default") if isinstance(node, exp.Case) else node.args.get("false")
        conditions = [self._visit_as(b.this, "boolean", "when") for b in branches]
        values = [self.visit(b.args["true"]) for b in branches]
        last = self.visit(default) if default is not None else Typed(exp.Null(), "null")
        kind = common([v.type for v in (*values, last)])
        if kind is None:
            kinds = ", ".join(dict.fromkeys(a_kind(v.type) for v in (*values, last)))
            raise ExpressionError(f"the branches give {kinds}: {show(node)}", expected="one type in all branches")
        made = exp.Case(
            ifs=[exp.If(this=c.sql, true=v.sql) for c, v in zip(conditions, values, strict=True)], default=last.sql
        )
        return Typed(made, kind, _reads([*conditions, *values, last]))

    def _cast(self, node: exp.Expression) -> Typed:
        target = CASTS.get(node.args["to"].this.name if node.args["to"].this else "")
        if target is None:
            accepted = ", ".join(sorted({sql for sql, _ in CASTS.values()}))
            raise ExpressionError(f"cannot cast to {node.args['to'].sql(DIALECT)}", expected=f"one of {accepted}")
        inner = self.visit(node.this)
        if target[1] in MOMENTS and isinstance(node.this, exp.Literal):
            return as_moment(inner, node.this, target[1])
        made = exp.TryCast(this=inner.sql, to=exp.DataType.build(target[0], dialect=DIALECT))
        return Typed(made, target[1], inner.reads)

    def _joined(self, node: exp.Expression) -> Typed:
        left, right = (self._visit_as(n, "text", "||") for n in (node.this, node.expression))
        return Typed(exp.DPipe(this=left.sql, expression=right.sql, safe=True), "text", left.reads | right.reads)

    def _other(self, node: exp.Expression) -> Typed:
        refuse_other_rows(node, show(node))
        if isinstance(node, exp.Func):
            return self._call(node)
        raise ExpressionError(f"cannot be used here: {show(node)}", expected="one expression without side effect")

    def _call(self, node: exp.Func) -> Typed:
        name = (node.name if isinstance(node, exp.Anonymous) else written_name(node)).lower()
        given = arguments(node)
        if name in ("in_segment", "in_list"):
            return self._in_named(name, given)
        function = FUNCTIONS.get(name)
        if function is None or given is None:
            known = sorted([*FUNCTIONS, *(["in_segment", "in_list"] if self.scope.segments else [])])
            raise ExpressionError(
                f"unknown function {name}()", expected="one of " + ", ".join(known), fix=suggest(name, known)
            )
        if function.facts_only and "properties" not in next(iter(self.scope.namespaces.values()), {}):
            told = f"{name}() reads the properties of an event"
            raise ExpressionError(told, expected="a column", fix="use over: event")
        return self._checked_call(name, function, given)

    def _checked_call(self, name: str, function: Function, arguments: list[exp.Expression]) -> Typed:
        most = None if function.variadic else len(function.takes)
        if len(arguments) < function.fewest or (most is not None and len(arguments) > most):
            count = f"{function.fewest}" if most == function.fewest else f"{function.fewest} to {most or 'any number'}"
            raise ExpressionError(f"{name}() has {len(arguments)} arguments", expected=f"{count} arguments")
        typed = []
        for position, argument in enumerate(arguments):
            accepted = function.takes[min(position, len(function.takes) - 1)]
            value = self.visit(argument)
            if not any(fits(value.type, a) for a in accepted):
                raise ExpressionError(
                    f"{name}() is given {a_kind(value.type)}: {show(argument)}",
                    expected=" or ".join(a_kind(a) for a in accepted),
                )
            if position in function.literal:
                check_literal(name, argument)
            typed.append(value)
        gives = function.gives or common([t.type for t in typed])
        if gives is None:
            raise ExpressionError(f"{name}() mixes {', '.join(a_kind(t.type) for t in typed)}", expected="one type")
        return Typed(function.build([t.sql for t in typed]), gives, _reads(typed))

    def _in_named(self, function: str, arguments: list[exp.Expression] | None) -> Typed:
        """`in_segment('name')` and `in_list('name')`: a column that is true for its members."""
        kind = function.removeprefix("in_")
        if not self.scope.segments:
            raise ExpressionError(f"{function}() stands where segments do not exist yet", expected="only in segments")
        if not arguments or len(arguments) != 1 or not arguments[0].is_string:
            raise ExpressionError(f"{function}() is called wrongly", expected=f"{function}('name')")
        name = arguments[0].name
        known = sorted(self.scope.segments if kind == "segment" else self.scope.lists)
        if name not in known:
            raise ExpressionError(
                f'unknown {kind} "{name}"',
                expected="one of " + ", ".join(known) if known else f"a {kind}, but there is none",
                fix=suggest(name, known) or (_A_LIST if kind == "list" else ""),
            )
        return Typed(exp.column(f"{kind}__{name}", quoted=True), "boolean", frozenset({(kind, name)}))


_A_LIST = "add rows with this list to seeds/segments/person_lists.csv"


def _reads(typed: list[Typed]) -> frozenset[tuple[str, str]]:
    return frozenset().union(*(t.reads for t in typed))
