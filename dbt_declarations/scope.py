"""What an expression may name: columns by namespace, and how a column is written into SQL."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlglot import exp

from cdp.declarations import suggest
from dbt_declarations.contracts import Column

AS_OF = "__as_of__"


class ExpressionError(Exception):
    """What is wrong in an expression, what is accepted, what to do."""

    def __init__(self, what: str, *, expected: str = "", fix: str = "") -> None:
        self.what, self.expected, self.fix = what, expected, fix
        super().__init__(what)


@dataclass(frozen=True)
class Scope:
    """Namespaces of columns. A name without a prefix is looked up in all but those of `qualified_only`."""

    namespaces: dict[str, dict[str, Column]]
    qualified_only: frozenset[str] = frozenset({"account", "prediction", "account_prediction"})
    segments: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()
    facts: bool = False
    hints: dict[str, str] = field(default_factory=dict)

    def resolve(self, prefix: str, name: str) -> tuple[str, Column]:
        """The namespace and column that a written name means. Raises ExpressionError when none or several do."""
        if prefix:
            return prefix, self._column_of(prefix, name)
        found = [n for n, columns in self.namespaces.items() if n not in self.qualified_only and name in columns]
        if len(found) == 1:
            return found[0], self.namespaces[found[0]][name]
        if found:
            choices = " or ".join(f"{n}.{name}" for n in found)
            raise ExpressionError(f'"{name}" is ambiguous', expected=choices, fix="write the prefix")
        raise ExpressionError(f'unknown column "{name}"', expected=self._sources(), fix=self._hint(name))

    def written(self, namespace: str, column: Column) -> exp.Expression:
        """The column in the SQL of this scope; persons carry the namespace in the name, facts do not."""
        name = column.name if self.facts else f"{namespace}__{column.name}"
        return exp.column(name, quoted=True)

    def _column_of(self, prefix: str, name: str) -> Column:
        columns = self.namespaces.get(prefix)
        if columns is None:
            if prefix == "properties":
                raise ExpressionError(f'unknown column "{prefix}.{name}"', fix=f"write property('{name}')")
            known = sorted(self.namespaces)
            hint = suggest(prefix, known)
            raise ExpressionError(f'unknown prefix "{prefix}"', expected="one of " + ", ".join(known), fix=hint)
        if name not in columns:
            hint = suggest(name, sorted(columns))
            accepted = "one of " + ", ".join(sorted(columns)[:20]) if len(columns) <= 20 else f"a column of {prefix}"
            raise ExpressionError(f'unknown column "{prefix}.{name}"', expected=accepted, fix=hint)
        return columns[name]

    def _sources(self) -> str:
        return "a column of " + ", ".join(self.namespaces)

    def _hint(self, name: str) -> str:
        if name in self.hints:
            return self.hints[name]
        near = suggest(name, sorted({c for n, cols in self.namespaces.items() for c in cols}))
        elsewhere = sorted(n for n in self.qualified_only & set(self.namespaces) if name in self.namespaces[n])
        return f'did you mean "{elsewhere[0]}.{name}"?' if elsewhere else near
