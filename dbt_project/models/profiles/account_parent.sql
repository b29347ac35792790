-- The parent that an account is summed up to. One row is one account.
-- Parents may form a circle, by mistake or by a wrong import. Every circle is opened at one place: its oldest account (then
-- the least key) keeps no parent. Circles are found by doubling: after k rounds an account points to its ancestor 2^k steps up, so
-- that after 16 rounds (65,536 steps) only members of circles are pointed at.
-- The rounds are written by a loop, which the linter reads as one text.
-- noqa: disable=ST03,AL04,LT09,PRS
with accounts as (
    select
        account_key,
        parent_account_key,
        { 'created_at': coalesce(created_at, timestamp '9999-12-31'), 'key': account_key } as age
    from {{ ref('account_record') }}
),

links as (
    select
        accounts.account_key,
        accounts.age,
        parents.account_key as parent_key
    from accounts
    left join accounts as parents
        on accounts.parent_account_key = parents.account_key
        and accounts.account_key <> parents.account_key
),

-- all that hangs below an account without parent is in order, and is nearly everything
in_order as (
    with recursive reached as (
        select account_key
        from links
        where parent_key is null
        union all
        select links.account_key
        from links
        inner join reached on links.parent_key = reached.account_key
    )

    select account_key
    from reached
),

step_0 as (
    select
        links.account_key,
        links.parent_key as ancestor_key,
        links.age as oldest
    from links
    anti join in_order on links.account_key = in_order.account_key
),

{% for k in range(16) -%}
step_{{ k + 1 }} as (
    select
        lower_half.account_key,
        upper_half.ancestor_key,
        least(lower_half.oldest, upper_half.oldest) as oldest
    from step_{{ k }} as lower_half
    inner join step_{{ k }} as upper_half on lower_half.ancestor_key = upper_half.account_key
),

{% endfor -%}
circles as (
    select
        account_key,
        oldest.key as opened_at_key
    from step_16
    where account_key in (select ancestor_key from step_16)
),

final as (
    select
        links.account_key,
        case when circles.opened_at_key is distinct from links.account_key then links.parent_key end as parent_account_key,
        circles.opened_at_key as circle_key,
        circles.opened_at_key is not distinct from links.account_key as is_parent_cut,
        accounts.parent_account_key = accounts.account_key
        or (accounts.parent_account_key is not null and links.parent_key is null) as is_parent_unusable
    from links
    inner join accounts on links.account_key = accounts.account_key
    left join circles on links.account_key = circles.account_key
)

select
    account_key,
    parent_account_key,
    circle_key,
    is_parent_cut,
    coalesce(is_parent_unusable, false) as is_parent_unusable
from final
