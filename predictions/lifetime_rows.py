"""Orders of persons as the four numbers that BG/NBD and Gamma-Gamma read, in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdp.declarations import Document
from cdp.errors import DeclarationError
from cdp.settings import Settings
from dbt_declarations.contracts import read_contracts
from dbt_declarations.sql import render
from predictions.declaration import LifetimeValueModel, ModelFile

if TYPE_CHECKING:
    from predictions.features import Checker


def check_lifetime(checker: Checker, model: LifetimeValueModel) -> tuple[str, str]:
    """SQL of (value, condition) of an order; what is wrong is noted by the checker. Status and refunds may be read: the
    model learns from what orders were worth in the end, and predicts nothing about the orders it reads."""
    value = checker.check(("value",), model.value, "order", early=False)
    if value is not None and value.type not in ("number", "integer"):
        checker.errors.append(checker.document.error(("value",), f"is a {value.type}", expected="a number"))
    where = checker.check(("where",), model.where, "order", early=False, boolean=True) if model.where else None
    return render(value) if value else "0", render(where) if where else "true"


def lifetime_sql(document: Document[ModelFile], settings: Settings) -> str:
    """The select of one row per buyer as of `$as_of`, by entity_id: entity_id; frequency (days with an order after the first
    such day); recency and age (days from the first to the last order day, and to as_of); spend (mean value of an order day
    after the first); orders_after and value_after (order days, and value, in the `$days` days after as_of).
    """
    from predictions.features import Checker

    model = document.value.root
    assert isinstance(model, LifetimeValueModel)  # noqa: S101 - callers choose by type
    checker = Checker(document, read_contracts(settings.dbt_dir))
    value, where = check_lifetime(checker, model)
    if checker.errors:
        raise DeclarationError.all_of(checker.errors)
    orders = (
        f"select person_id, cast(ordered_at as date) as day, try_cast({value} as decimal(38, 6)) as value"
        f" from profiles.person_order where coalesce({where}, false) and person_id is not null"
        " and ordered_at <= cast($as_of as timestamp) + to_days(cast($days as integer))"
    )
    return f"""
        with ordered as ({orders}),
        days as (
            select person_id, day, sum(value) as value, day <= cast(cast($as_of as timestamp) as date) as is_known
            from ordered inner join profiles.audience using (person_id) group by all
        ),
        first as (select person_id, min(day) as first_day from days where is_known group by person_id)
        select
            first.person_id as entity_id,
            cast(count(*) filter (is_known) - 1 as double) as frequency,
            cast(date_diff('day', first_day, max(day) filter (is_known)) as double) as recency,
            cast(date_diff('day', first_day, cast(cast($as_of as timestamp) as date)) as double) as age,
            coalesce(cast(sum(value) filter (is_known and day > first_day) as double)
                / nullif(count(*) filter (is_known and day > first_day), 0), 0) as spend,
            cast(count(*) filter (not is_known) as double) as orders_after,
            coalesce(cast(sum(value) filter (not is_known) as double), 0) as value_after
        from first inner join days using (person_id)
        group by first.person_id, first_day
        order by entity_id
    """
