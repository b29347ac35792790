"""Normalisation and hashing of values for destinations, as SQL expressions: one pass over all rows, no loop.

Each works on text in any script: nothing but what is named is removed, so a Chinese name does not become empty.
Sources: developers.google.com/data-manager (format user data), developers.facebook.com/docs/marketing-api (customer
file custom audiences, hashing and normalisation). A destination's own variant is a function here and a name in
`destination_spec.Normalisation`.
"""

from __future__ import annotations

from collections.abc import Callable

from reverse_etl.destination_spec import Hash, Normalisation

# White space at the ends, also the kinds that SQL's trim leaves: tabs, no-break and full-width spaces.
_ENDS = r"^[\s\p{Z}]+|[\s\p{Z}]+$"
_HASHED = {"sha256": "^[0-9a-fA-F]{64}$", "md5": "^[0-9a-fA-F]{32}$"}


def _trim(value: str) -> str:
    return f"regexp_replace({value}, '{_ENDS}', '', 'g')"


def _lower(value: str) -> str:
    return f"lower({_trim(value)})"


def _phone(value: str) -> str:
    # Full-width digits and signs as half-width; 00 is the international prefix.
    half = f"translate({value}, '０１２３４５６７８９＋', '0123456789+')"
    digits = f"regexp_replace({half}, '[^0-9]', '', 'g')"
    return f"nullif(regexp_replace({digits}, '^0+', ''), '')"


def _email_google(value: str) -> str:
    # Dots before the @ mean nothing at gmail.com and googlemail.com; a +suffix is kept.
    mail = f"regexp_replace({_lower(value)}, '\\s', '', 'g')"
    local, domain = f"split_part({mail}, '@', 1)", f"split_part({mail}, '@', 2)"
    plain = (
        f"case when {domain} in ('gmail.com', 'googlemail.com') then replace({local}, '.', '') || '@' || {domain}"
        f" else {mail} end"
    )
    return _only(plain, "^[^@]+@[^@]+$")


def _only(value: str, pattern: str) -> str:
    """Null where the pattern does not match: a digest of what is no address matches nobody, and no rule can see it later."""
    return f"case when regexp_matches({value}, '{pattern}') then {value} end"


def _name_meta(value: str) -> str:
    # Lower case without punctuation and spaces; letters of any script stay.
    return f"regexp_replace({_lower(value)}, '[\\s\\p{{Z}}\\p{{P}}\\p{{S}}]', '', 'g')"


def _number_between(low: int, high: int, width: int) -> Callable[[str], str]:
    """Digits as a number of a fixed width, null when it lies outside."""

    def expression(value: str) -> str:
        digits = f"case when regexp_matches({_trim(value)}, '^[0-9]{{1,4}}$') then {_trim(value)} end"
        in_range = f"cast({digits} as integer) between {low} and {high}"
        return f"case when {in_range} and length({digits}) <= {width} then lpad({digits}, {width}, '0') end"

    return expression


_NORMALISE: dict[Normalisation, Callable[[str], str]] = {
    "trim": _trim,
    "lower": _lower,
    "upper": lambda value: f"upper({_trim(value)})",
    "digits": lambda value: f"regexp_replace({value}, '[^0-9]', '', 'g')",
    "email": _lower,
    "email_google": _email_google,
    "email_meta": lambda value: _only(_lower(value), r"^.+@[^@\s]+\.[^@\s]+$"),
    "phone_e164": lambda value: f"'+' || {_phone(value)}",
    "phone_digits": _phone,
    # Lower case, and one space between words.
    "name": lambda value: f"regexp_replace({_lower(value)}, '[\\s\\p{{Z}}]+', ' ', 'g')",
    "name_meta": _name_meta,
    "name_meta_5": lambda value: f"left({_name_meta(value)}, 5)",
    "initial_meta": lambda value: f"left({_name_meta(value)}, 1)",
    "birth_day": _number_between(1, 31, 2),
    "birth_month": _number_between(1, 12, 2),
    "birth_year": lambda value: _only(_trim(value), "^[0-9]{4}$"),
    "country": lambda value: f"upper({_trim(value)})",
    "postal_code": lambda value: f"regexp_replace({_lower(value)}, '[\\s-]', '', 'g')",
}


def normalised(value: str, how: Normalisation | None, hashed: Hash | None) -> str:
    """The expression `value` (text, null stays null) normalised and hashed as a rule says.

    What is a digest already passes, in lower case: hashing it again would match nobody. What normalising leaves empty
    is null, never the digest of the empty text.
    """
    clean = f"nullif({_NORMALISE[how](value) if how else value}, '')"
    if hashed is None:
        return clean
    is_digest = f"regexp_matches({_trim(value)}, '{_HASHED[hashed]}')"
    return f"case when {is_digest} then lower({_trim(value)}) else {hashed}({clean}) end"
