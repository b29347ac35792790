"""`dbt_project/segments/<name>.yml`: one segment a file."""

from __future__ import annotations

from pydantic import Field

from dbt_declarations.kinds.base import Dated, Expression


class Segment(Dated):
    """The persons for whom `where` is true and `exclude` is not."""

    where: Expression
    exclude: Expression | None = Field(None, description="Persons for whom this is true are left out.")
