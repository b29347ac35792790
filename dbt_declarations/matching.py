"""From dbt_project/matching/*.yml to dbt: a Python model for each active matching model, the unions that identity and
accounts read, and the cleaning steps as a macro, so that SQL and matching clean in one way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cdp.declarations import Document, suggest
from cdp.identity.matching_columns import STEPS, step_sql
from cdp.identity.matching_model import MatchingModel, load_models
from cdp.settings import Settings
from dbt_declarations.properties import properties_file

IDENTITY = Path("models/generated/identity")
PROFILES = Path("models/generated/profiles")


def compile_matching(settings: Settings) -> dict[Path, str]:
    """Generated files by their path below the dbt project. Raises DeclarationError."""
    documents = load_models(settings.dbt_dir)
    inputs = {path.stem for path in (settings.dbt_dir / "models").rglob("*.sql")}
    for document in documents:
        _check(document, inputs)
    active = [d.value for d in documents if d.value.active]
    persons = [m for m in active if m.entity == "person"]
    accounts = [m for m in active if m.entity == "account"]
    files = {
        Path("macros/generated/cleaning.sql"): _macros(),
        IDENTITY / "identity_match.sql": _union(_PERSON_PAIRS, persons, _NO_PERSON_PAIR, _PERSON_HEADER),
        PROFILES / "account_match.sql": _union(_ACCOUNT_PAIRS, accounts, _NO_ACCOUNT_PAIR, _ACCOUNT_HEADER, _BEST),
        IDENTITY / "_identity__matches.yml": _properties(active),
    }
    for model in active:
        files[IDENTITY / f"match_{model.name}.py"] = _python_model(model)
    return files


def _check(document: Document[MatchingModel], inputs: set[str]) -> None:
    model = document.value
    if model.input not in inputs:
        raise document.error(
            ("input",),
            f'no dbt model "{model.input}"',
            expected="a model whose rows have record_id and the columns that are compared",
            fix=suggest(str(model.input), sorted(inputs)),
        )
    if model.parameters and not (document.path.parent / model.parameters).exists():
        raise document.error(
            ("parameters",),
            f'no file "{model.parameters}" beside the model',
            expected="the parameters.json of `cdp identity match`",
            fix="train once, or leave the key out",
        )


def _macros() -> str:
    """`cleaned(step, value)`: a cleaning step of matching as SQL for models."""
    mark = "\0"
    branches = "".join(
        f"{{% {'elif' if number else 'if'} step == '{step}' %}}"
        + "{{ value }}".join(
            f"{{% raw %}}{text}{{% endraw %}}"
            for text in step_sql(step, f"nullif(trim(({mark})::varchar), '')").split(mark)
        )
        for number, step in enumerate(STEPS)
    )
    unknown = "{% else %}{{ exceptions.raise_compiler_error('no cleaning step ' ~ step) }}{% endif %}"
    return (
        "{#- Made from cdp/identity/matching_columns.py. -#}\n"
        f"{{% macro cleaned(step, value) %}}{branches}{unknown}{{% endmacro %}}\n"
    )


def _python_model(model: MatchingModel) -> str:
    return f'''"""One row is one pair of rows of {model.input} that may be the same {model.entity}. Made from matching/{model.name}.yml."""


def model(dbt, session):
    from cdp.identity.matching_warehouse import pairs_of

    dbt.config(materialized="table")
    return pairs_of(dbt.ref("{model.input}"), "{model.name}")
'''


_PERSON_HEADER = (
    "-- Pairs of identifiers that a matching model takes for one person, as edges of the tier probabilistic. "
    "One row is one pair and model.\n"
)
_PERSON_PAIRS = """select
        least(record_id_l::bigint, record_id_r::bigint) as left_key,
        greatest(record_id_l::bigint, record_id_r::bigint) as right_key,
        'probabilistic' as tier,
        '{name}' as model,
        probability,
        match_weight,
        explanation
    from {{{{ ref('match_{name}') }}}}
    where is_accepted"""
_NO_PERSON_PAIR = """select
        null::bigint as left_key,
        null::bigint as right_key,
        null::varchar as tier,
        null::varchar as model,
        null::double as probability,
        null::double as match_weight,
        null::json as explanation
    where false"""
_ACCOUNT_HEADER = "-- The account that a written company name stands for, by the matching models. One row is one cleaned name: its most probable account.\n"
# in pairs "account:..." comes before "name:..."; two names, or two accounts, say nothing here
_ACCOUNT_PAIRS = """select
        substr(record_id_r, 6) as company_name,
        substr(record_id_l, 9) as account_key,
        '{name}' as model,
        probability,
        match_weight,
        explanation
    from {{{{ ref('match_{name}') }}}}
    where is_accepted
        and starts_with(record_id_l, 'account:')
        and starts_with(record_id_r, 'name:')"""
_NO_ACCOUNT_PAIR = """select
        null::varchar as company_name,
        null::varchar as account_key,
        null::varchar as model,
        null::double as probability,
        null::double as match_weight,
        null::json as explanation
    where false"""
_BEST = (
    "\nqualify row_number() over (partition by company_name order by match_weight desc, account_key asc, model asc) = 1"
)


def _union(branch: str, models: list[MatchingModel], empty: str, header: str, rest: str = "") -> str:
    branches = [branch.format(name=model.name) for model in models] or [empty]
    return f"{header}with final as (\n    {(chr(10) + '    union all' + chr(10) + '    ').join(branches)}\n)\n\nselect * from final{rest}\n"


def _properties(active: list[MatchingModel]) -> str:
    pair = {"probability": "Probability that the two are one.", "match_weight": "The same in bits: log2 of the odds."}
    explained = {
        "explanation": "JSON: the weight of the prior and of each comparison with its outcome; they add up to match_weight."
    }
    models: list[dict[str, Any]] = [
        _documented(
            f"match_{model.name}",
            f"{model.description} One row is one pair of rows of {model.input}.",
            {"record_id_l": "The lesser record.", "record_id_r": "The greater record.", **pair}
            | {"is_accepted": f"At least {model.accept}.", **explained},
        )
        for model in active
    ]
    models.append(
        _documented(
            "identity_match",
            "Pairs of identifiers that a matching model takes for one person. One row is one pair and model.",
            {"left_key": "The lesser identifier.", "right_key": "The greater identifier.", "tier": "probabilistic"}
            | {"model": "Matching model.", **pair, **explained},
        )
    )
    models.append(
        _documented(
            "account_match",
            "The account that a written company name stands for. One row is one cleaned name.",
            {"company_name": "The name, cleaned.", "account_key": "The account.", "model": "Matching model.", **pair}
            | explained,
        )
    )
    return properties_file(models)


def _documented(name: str, description: str, columns: dict[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "description": description,
        "columns": [{"name": column, "description": text} for column, text in columns.items()],
    }
