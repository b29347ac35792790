"""Cleaning of columns before they are compared: each step is one SQL expression over the value.

Steps are kinds, and models list them: what is cleaned how stands in YAML, how it is done stands here. All patterns are
constants (DuckDB compiles any other pattern anew for every row).
"""

from __future__ import annotations

from typing import Literal

from sqlglot import exp

CleaningStep = Literal[
    "lower",
    "strip_accents",
    "letters",
    "digits",
    "alphanumeric",
    "no_spaces",
    "first_word",
    "last_word",
    "sort_words",
    "email",
    "domain",
    "company",
    "date",
]

# What companies add to their names in the countries where they are registered; the words as they stand after
# `company` has taken out accents and punctuation. Source: GLEIF's Entity Legal Forms list (ISO 20275), abbreviations.
_LEGAL_FORMS = (
    "inc|incorporated|corp|corporation|co|company|llc|llp|lp|ltd|limited|plc|gmbh|mbh|ag|kg|kgaa|ohg|ug|se|sa|sas|sarl|"
    "sasu|eurl|snc|bv|nv|srl|spa|ab|as|oy|kk|godo kaisha|pty|pte|group|holding|holdings|the"
)
_LEGAL_FORMS_CN = "有限责任公司|股份有限公司|有限公司|集团公司|集团|公司|株式会社|合同会社"

_STEPS: dict[str, str] = {
    "lower": "lower({v})",
    "strip_accents": "strip_accents({v})",
    "letters": r"trim(regexp_replace(regexp_replace({v}, '[^\p{{L}}\p{{M}}]+', ' ', 'g'), '\s+', ' ', 'g'))",
    "digits": "regexp_replace({v}, '[^0-9]+', '', 'g')",
    "alphanumeric": r"trim(regexp_replace({v}, '[^\p{{L}}\p{{M}}\p{{N}}]+', ' ', 'g'))",
    "no_spaces": r"regexp_replace({v}, '\s+', '', 'g')",
    "first_word": r"regexp_extract({v}, '^\S+')",
    "last_word": r"regexp_extract({v}, '\S+$')",
    "sort_words": r"array_to_string(list_sort(regexp_split_to_array({v}, '\s+')), ' ')",
    # trimmed and lower, without "+tag"; what has no @ is no address
    "email": r"case when contains({v}, '@') then regexp_replace(regexp_replace(lower({v}), '\s+', '', 'g'), '\+[^@]*@', '@') end",
    # of an address or a link, without www
    "domain": r"nullif(regexp_extract(lower({v}), '^(?:[a-z]+://)?(?:[^/@]*@)?(?:www\.)?([^/:?#@]+\.[^/:?#@]+)', 1), '')",
    "company": (
        r"trim(regexp_replace(regexp_replace(' ' || regexp_replace(strip_accents(lower({v})), '[^\p{{L}}\p{{N}}]+', '  ', 'g')"
        rf" || ' ', ' ({_LEGAL_FORMS}) |({_LEGAL_FORMS_CN})', ' ', 'g'), '\s+', ' ', 'g'))"
    ),
    # ISO; eight digits and the usual European and American ways to write a date
    "date": (
        "strftime(coalesce(try_strptime({v}, '%Y-%m-%d'), try_strptime({v}, '%Y%m%d'), try_strptime({v}, '%Y/%m/%d'), "
        "try_strptime({v}, '%d.%m.%Y'), try_strptime({v}, '%m/%d/%Y')), '%Y-%m-%d')"
    ),
}


STEPS = tuple(_STEPS)


def step_sql(step: str, value: str) -> str:
    """SQL of one step over a SQL expression of text; what is empty then is null."""
    return f"nullif({_STEPS[step].format(v=value)}, '')"


def cleaned(sources: list[str], steps: list[CleaningStep], empty: list[str], first: int | None) -> str:
    """SQL of one cleaned column over the records' columns: text, or null where there is nothing to compare."""
    names = [f"nullif(trim({exp.to_identifier(n, quoted=True).sql('duckdb')}::varchar), '')" for n in sources]
    value = names[0] if len(names) == 1 else f"nullif(concat_ws(' ', {', '.join(names)}), '')"
    for step in steps:
        value = step_sql(step, value)
    if empty:
        listed = ", ".join(exp.Literal.string(text).sql("duckdb") for text in empty)
        value = f"case when {value} not in ({listed}) then {value} end"
    if first:
        value = f"left({value}, {int(first)})"
    return value
