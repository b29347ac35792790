-- Groups of companies. One row is one account and one account above it; each account stands above itself at distance 0.
-- The second half of a recursion takes its names from the first.
-- noqa: disable=AL03
with parents as (
    select
        account_key,
        parent_account_key
    from {{ ref('account_parent') }}
),

above as (
    with recursive walked as (
        select
            account_key,
            account_key as ancestor_key,
            0 as distance
        from parents
        union all
        select
            walked.account_key,
            parents.parent_account_key,
            walked.distance + 1
        from walked
        inner join parents on walked.ancestor_key = parents.account_key
        where parents.parent_account_key is not null
    )

    select * from walked
),

final as (
    select
        above.account_key,
        above.ancestor_key,
        above.distance::integer as distance,
        parents.parent_account_key is null as is_ultimate
    from above
    inner join parents on above.ancestor_key = parents.account_key
)

select * from final
