"""kill -9 at every step boundary of every mode, and at random instants, against an endpoint that loses answers.

A run is killed at a boundary, the run that comes after it at the next one, and so on, while the source goes on changing; the
run that is left alone must then bring the endpoint to what the source wants. CDP_TEST_CRASHES=all leaves the run after each
kill alone, so that each boundary of a run that begins in peace is met, and does the same with the ledger on Postgres.
CDP_TEST_INSTANTS is the number of random instants, CDP_TEST_SEED their seed.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter

import pytest
from pydantic import SecretStr

from demo.emulators.faults import Fault
from reverse_etl import control
from reverse_etl.ledger import Ledger
from tests.postgres import Postgres, postgres
from tests.reverse_etl.deaths import Zygote, zygote
from tests.reverse_etl.webhooks import Endpoint, endpoint

__all__ = ["endpoint", "postgres", "zygote"]

ALL = os.environ.get("CDP_TEST_CRASHES") == "all"
MODES = ["upsert", "update_only", "create_only", "mirror", "append", "delete"]
SEED = int(os.environ.get("CDP_TEST_SEED", "20260301"))
INSTANTS = int(os.environ.get("CDP_TEST_INSTANTS", "2"))
KILLS = 1 if ALL else 3
ROWS = 40
# So many rows come and go in a round: alone, a run must have two batches of new ones, and not run out of them.
MOVED = 11 if ALL else 7
KEYS = [f"r{n:03}" for n in range((8 if ALL else 4) * ROWS)]


class Story:
    """What the source wants round by round in a mode, and what may, and at rest must, stand at the endpoint.

    A key's possible values are those that a run was asked to put there since it was last seen; None stands for nothing.
    """

    def __init__(self, mode: str, endpoint: Endpoint) -> None:
        self.mode, self.endpoint, self.round = mode, endpoint, 0
        self.wanted: dict[str, int] = {}
        self.possible: dict[str, set[int | None]] = {key: {None} for key in KEYS}
        endpoint.from_file = True
        if mode in ("update_only", "delete"):
            # Something must stand there before it can be updated or deleted.
            endpoint.declare("upsert")
            endpoint.want(dict.fromkeys(KEYS, 0))
            assert endpoint.run().ok
            self.possible = {key: {0} for key in KEYS}
            control.reset("rows", endpoint.project.settings, "another mode", new_account=True)
        endpoint.declare(mode)

    def change(self) -> None:
        """The next round: all rows change, some go, some come."""
        self.round += 1
        self.wanted = {KEYS[n % len(KEYS)]: self.round for n in range(MOVED * self.round, MOVED * self.round + ROWS)}
        self.endpoint.want(self.wanted)
        for key, values in self.possible.items():
            if key not in self.wanted:
                values |= {None} if self.mode == "mirror" else set()
            elif self.mode not in ("create_only", "append") or None in values:
                values.add(None if self.mode == "delete" else self.round)

    def check(self) -> None:
        """All that is wanted stands there, the rest is as some run left it, and no event was applied twice."""
        held: dict[str, int | None] = dict.fromkeys(KEYS)
        if self.mode == "append":
            events = self.endpoint.query("select key, fields from event")
            assert len(events) == len({key for key, _ in events}), "applied twice"
            held |= {key: json.loads(fields)["value"] for key, fields in events}
        else:
            held |= self.endpoint.held()
        assert held.keys() == set(KEYS), "what nobody wanted stands there"
        for key, value in held.items():
            assert value in self.possible[key], key
            match self.mode:
                case "delete":
                    assert key not in self.wanted or value is None
                case "create_only" | "append":
                    assert key not in self.wanted or value is not None
                case "mirror":
                    assert value == self.wanted.get(key)
                case _:
                    assert key not in self.wanted or value == self.wanted[key]
        self.possible = {key: {value} for key, value in held.items()}
        ledger = Ledger(self.endpoint.project.settings)
        # What left the source unanswered, in a mode that leaves it alone, is not sent again to find out.
        doubtful = {key for doubt in ledger.doubtful_batches("rows") for key in doubt.rows["key"].to_pylist()}
        assert not doubtful & self.wanted.keys()
        assert self.mode in ("upsert", "update_only", "create_only") or not doubtful
        assert [run.status for run in ledger.runs("rows", 1)] == ["succeeded"]
        assert ledger.unlogged_runs("rows") == []
        ledger.close()


def lossy(endpoint: Endpoint, *, every: int = 3) -> None:
    """Each so-many-th call is carried out and its answer lost."""
    endpoint.script.rule = lambda number, path: Fault(500, after_effect=True) if number % every == 0 else None


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("store", ["sqlite", "postgres"] if ALL else ["sqlite"])
def test_kill_9_at_every_step_boundary(
    endpoint: Endpoint, zygote: Zygote, mode: str, store: str, request: pytest.FixtureRequest
) -> None:
    if store == "postgres":
        on(endpoint, request.getfixturevalue("postgres"))
    settings = endpoint.project.settings
    story, died, step, is_over = Story(mode, endpoint), Counter[str](), 1, False
    while not is_over:
        lossy(endpoint)
        # The second of them dies while it settles what the first has left, and so on.
        for at in range(step, step + KILLS):
            story.change()
            told = zygote.run(settings, at)
            if is_over := told["status"] == 0:
                break
            died[told["died_before"]] += 1
        endpoint.script.rule = None
        after = zygote.run(settings)
        assert (after["status"], after.get("ok")) == (0, True), after
        story.check()
        step += KILLS
        assert step < 300, "the run never came to its end"
    applied = endpoint.query("select count(*) from applied")[0][0]
    kinds = ", ".join(f"{n} before a {kind}" for kind, n in sorted(died.items()) if kind)
    print(f"{mode} on {store}: {died.total()} kills ({kinds}), {applied} effects at the endpoint")
    assert died.total() >= 12
    assert min(died["commit"], died["call"]) >= 2


@pytest.mark.parametrize("mode", ["mirror", "append"])
def test_kill_9_at_random_instants(endpoint: Endpoint, zygote: Zygote, mode: str) -> None:
    print(f"seed {SEED}, {INSTANTS} instants")
    chance, story, deaths, settings = random.Random(SEED), Story(mode, endpoint), 0, endpoint.project.settings
    story.change()
    assert zygote.run(settings)["status"] == 0
    for _ in range(INSTANTS):
        story.change()
        lossy(endpoint, every=chance.randint(1, 4))
        for _ in range(chance.randint(1, 3)):
            deaths += zygote.run(settings, after=chance.uniform(0.01, 0.5))["status"] == -9
        endpoint.script.rule = None
        after = zygote.run(settings)
        assert (after["status"], after.get("ok")) == (0, True), after
        story.check()
    print(f"{mode}: {deaths} deaths")


def on(endpoint: Endpoint, postgres: Postgres) -> None:
    """Put the ledger on a schema of its own."""
    endpoint.project.settings = endpoint.project.settings.model_copy(
        update={"ledger_url": SecretStr(postgres.schema_url())}
    )
