"""Which of many names hold for a person, as a row of bits: what a history of everybody begins with.

A bit takes a hundredth of the time of a row with a name; what changes afterwards is a row for each change. A layout says
which bit of which part stands for which name, so that bits can be read when the declarations have long become others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
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
    """A name, the SQL condition that it holds (null counts as false), and the SQL of its value as text (None: none is kept, or it is
    always `said`). `stored`: the table of its part has the bit, in its columns `_bits_1` and so on (`stored_words`; no
    declared name begins like that)."""

    name: str
    condition: str
    value: str | None = None
    said: str | None = None
    stored: bool = False


@dataclass(frozen=True)
class Part:
    """What one table says; conditions and values name it `alias`. It has a person_number."""

    name: str
    bits: tuple[Bit, ...]
    table: str
    alias: str

    @property
    def layout(self) -> str:
        """The name that rows carry: another one whenever a bit stands for something else."""
        said = "/".join(f"{b.name}:{b.value is not None}:{b.said}" for b in self.ordered)
        return f"{self.name}_{hashlib.sha256(said.encode()).hexdigest()[:12]}"

    @property
    def ordered(self) -> tuple[Bit, ...]:
        """The bits in the order of the words: those that the table has come first."""
        return tuple(b for word in self.words for b in word)

    @property
    def words(self) -> list[tuple[Bit, ...]]:
        """The bits by word; a word is stored as a whole, or not at all."""
        found = []
        for stored in (True, False):
            bits = tuple(b for b in self.bits if b.stored == stored)
            found += [bits[start : start + WORD] for start in range(0, len(bits), WORD)]
        return found

    @property
    def stored_words(self) -> dict[str, str]:
        """The words that the table has: SQL by column."""
        return {f"_bits_{n}": _word(w) for n, w in enumerate(self.words, start=1) if w[0].stored}


def with_words(words: Mapping[str, str], step: str, alias: str) -> str:
    """The select of a step with stored words, which name it `alias`."""
    added = "".join(f", {sql} as {column}" for column, sql in words.items())
    return f"select *{added} from {step} as {alias}"


def packed(parts: Sequence[Part]) -> str:
    """The select of one row per person and part: bits in words of 64, and the values of those names that have one, in order."""
    selects = []
    for part in parts:
        stored = [f"{part.alias}.{column}" for column in part.stored_words]
        words = [*stored, *(_word(word) for word in part.words[len(stored) :])]
        values = [b.value for b in part.ordered if b.value is not None]
        selects.append(
            f"select {part.alias}.person_number as person_number, {text(part.layout)} as part, [{', '.join(words)}] as bits,"
            f" cast([{', '.join(values)}] as varchar[]) as kept_values from {part.table} as {part.alias}"
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
        for word, bits in enumerate(part.words, start=1):
            for n, bit in enumerate(bits):
                place += bit.value is not None
                own = place if bit.value is not None else None
                rows.append([part.layout, word, 1 << n, bit.name, own, bit.said])
    return constants(LAYOUT, rows)
