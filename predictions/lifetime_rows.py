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


def lifetime_sql(document: Document[ModelFile], settings: Settings, *, then: bool = False) -> str:
    """The select of one row per buyer as of `$as_of`, by entity_id: entity_id; frequency (days with an order after the first
    such day); recency and age (days from the first to the last order day, and to as_of); spend (mean value of an order day
    after the first); orders_after and value_after (order days, and value, in the `$days` days after as_of).

    `then`: buyers are told apart as of that moment (`predictions.then.place`), by the ids of who they are today. What a person who was
    several buyers ordered afterwards is that of the one who had ordered last.
    """
    from predictions.features import Checker

    model = document.value.root
    assert isinstance(model, LifetimeValueModel)  # noqa: S101 - callers choose by type
    checker = Checker(document, read_contracts(settings.dbt_dir))
    value, where = check_lifetime(checker, model)
    if checker.errors:
        raise DeclarationError.all_of(checker.errors)
    buyer = "cast(told.entity_key as varchar)" if then else "orders.person_id"
    told = " left join record_then as told on told.sequence = orders.sequence" if then else ""
    return f"""
        with chosen as (select * from profiles.person_order where coalesce({where}, false)),
        ordered as (
            select orders.person_id, {buyer} as buyer, cast(orders.ordered_at as date) as day,
                orders.ordered_at <= cast($as_of as timestamp) as is_known, try_cast({value} as decimal(38, 6)) as value
            from chosen as orders{told}
            inner join profiles.audience as audience on audience.person_id = orders.person_id
            where orders.ordered_at <= cast($as_of as timestamp) + to_days(cast($days as integer))
        ),
        known as (
            select buyer, person_id, day, sum(value) as value from ordered where is_known and buyer is not null group by all
        ),
        latest as (select person_id, arg_max(buyer, row(day, buyer)) as buyer from known group by person_id),
        later as (
            select latest.buyer, ordered.day, sum(ordered.value) as value
            from ordered inner join latest on latest.person_id = ordered.person_id where not ordered.is_known group by all
        ),
        after as (
            select buyer, count(*) as orders_after, sum(value) as value_after from later group by buyer
        ),
        first as (
            select buyer, min(person_id) as person_id, min(day) as first_day from known group by buyer
        )
        select
            first.person_id as entity_id,
            cast(count(*) - 1 as double) as frequency,
            cast(date_diff('day', first.first_day, max(known.day)) as double) as recency,
            cast(date_diff('day', first.first_day, cast(cast($as_of as timestamp) as date)) as double) as age,
            coalesce(cast(sum(known.value) filter (known.day > first.first_day) as double) / nullif(count(*) - 1, 0), 0) as spend,
            cast(coalesce(any_value(after.orders_after), 0) as double) as orders_after,
            coalesce(cast(any_value(after.value_after) as double), 0) as value_after
        from first
        inner join known on known.buyer = first.buyer
        left join after on after.buyer = first.buyer
        group by first.buyer, first.person_id, first.first_day
        order by entity_id, first.buyer
    """
