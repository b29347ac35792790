"""Orders of persons as the four numbers that BG/NBD and Gamma-Gamma read, in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbt_declarations.sql import render

from predictions.declaration import LifetimeValueModel, Model

if TYPE_CHECKING:
    from predictions.features import _Checker


def check_lifetime(checker: _Checker, model: Model) -> str:
    """SQL of (value, condition) of an order; what is wrong is noted by the checker."""
    return ""
