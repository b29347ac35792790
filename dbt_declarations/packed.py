"""Which of many names hold for a person, as a row of bits: what a history of everybody begins with.

A bit takes a hundredth of the time of a row with a name; what changes afterwards is a row for each change. A layout says
which bit of which part stands for which name, so that bits can be read when the declarations have long become others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from dbt_declarations.sql import constants, text

WORD = 64
LAYOUT = (
    ("part", "varchar"),
    ("word", "bigint"),
    ("mask", "ubigint"),
    ("name", "varchar"),
    ("place", "bigint"),
    ("said", "varchar"),
)


@dataclass(frozen=True)
class Bit:
    """A name, the SQL condition that it holds, and the SQL of its value as text (None: none is kept, or it is always `said`)."""

    name: str
    condition: str
    value: str | None = None
    said: str | None = None


@dataclass(frozen=True)
class Part:
    """What one table says. `source`: what follows `from`; it has a person_number, named `number` in full."""

    name: str
    bits: tuple[Bit, ...]
    source: str
    number: str

    @property
    def layout(self) -> str:
        """The name that rows carry: another one whenever a bit stands for something else."""
        said = "/".join(f"{b.name}:{b.value is not None}:{b.said}" for b in self.bits)
        return f"{self.name}_{hashlib.sha256(said.encode()).hexdigest()[:12]}"


def packed(parts: Sequence[Part]) -> str:
    """The select of one row per person and part: bits in words of 64, and the values of those names that have one, in order."""
    selects = []
    for part in parts:
        words = [part.bits[start : start + WORD] for start in range(0, len(part.bits), WORD)]
        values = [b.value for b in part.bits if b.value is not None]
        selects.append(
            f"select {part.number} as person_number, {text(part.layout)} as part, [{', '.join(map(_word, words))}] as bits,"
            f" cast([{', '.join(values)}] as varchar[]) as kept_values from {part.source}"
        )
    nothing = (
        "select cast(null as ubigint) as person_number, cast(null as varchar) as part, cast(null as ubigint[]) as bits"
    )
    return "\nunion all\n".join(selects) or f"{nothing}, cast(null as varchar[]) as kept_values where false"


def _word(bits: Sequence[Bit]) -> str:
    """64 conditions as a number; halves are joined to halves, as a chain of 64 would be parsed 64 deep."""
    terms = [
        f"case when {bit.condition} then cast({1 << n} as ubigint) else cast(0 as ubigint) end"
        for n, bit in enumerate(bits)
    ]
    while len(terms) > 1:
        terms = [f"({' | '.join(terms[n : n + 2])})" for n in range(0, len(terms), 2)]
    return terms[0]


def layout(parts: Sequence[Part]) -> str:
    """The select of one row per name: which bit it is, the place of its value (words and places count from 1), or what it always is."""
    rows: list[list[object]] = []
    for part in parts:
        place = 0
        for n, bit in enumerate(part.bits):
            place += bit.value is not None
            own = place if bit.value is not None else None
            rows.append([part.layout, n // WORD + 1, 1 << n % WORD, bit.name, own, bit.said])
    return constants(LAYOUT, rows)
