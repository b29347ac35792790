"""Random stories: the source changes, rows are refused, answers are lost, runs are killed, the field map changes, persons are
merged and unmerged. After each step the ledger's invariants hold, and at rest the endpoint is as the source wants.

CDP_TEST_LEDGER_STORIES and CDP_TEST_LEDGER_STEPS make them more and longer, CDP_TEST_SEED makes them others.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from cdp.settings import Settings
from demo.emulators.faults import Fault
from reverse_etl import catalog, control, engine
from reverse_etl.errors import BlastRadiusError
from reverse_etl.ledger import Ledger
from tests.reverse_etl.conftest import Project
from tests.reverse_etl.deaths import Zygote, zygote
from tests.reverse_etl.dying import AS_OF, small
from tests.reverse_etl.ledger_witness import Witness
from tests.reverse_etl.webhooks import Endpoint, endpoint

__all__ = ["endpoint", "zygote"]

STORIES = int(os.environ.get("CDP_TEST_LEDGER_STORIES", "3"))
STEPS = int(os.environ.get("CDP_TEST_LEDGER_STEPS", "8"))
SEED = int(os.environ.get("CDP_TEST_SEED", "20260301"))
KEYS = [f"r{n:02}" for n in range(25)]
MODES = ["upsert", "update_only", "create_only", "mirror", "append", "delete"]
MERGES, MERGE_COLUMNS = "snd_webhook__merges", {"person_id": "varchar", "merged_into": "varchar"}
some_keys = st.lists(st.sampled_from(KEYS), min_size=1, max_size=15, unique=True)
told: Counter[str] = Counter()


class Story(RuleBasedStateMachine):
    """One sync's life. `possible`: key -> what may stand at the endpoint; None stands for nothing."""

    endpoint: Endpoint
    zygote: Zygote
    folder: Path
    stories = 0

    @initialize(mode=st.sampled_from(MODES), first=some_keys)
    def begin(self, mode: str, first: list[str]) -> None:
        Story.stories += 1
        root = self.folder / f"story{Story.stories}"
        root.mkdir()
        self.mode, self.version, self.origin = mode, 0, 0
        self.wanted: dict[str, tuple[int, str]] = {}
        self.merged: dict[str, str] = {}
        self.possible: dict[str, set[int | None]] = {key: {None} for key in KEYS}
        self.witness = Witness(self.endpoint)
        self.endpoint.project = Project(Settings(project_root=root, data_dir=Path(".cdp"), threads=1, _env_file=None))
        self.endpoint.from_file = True
        self.endpoint.write("delete from held", "delete from event", "delete from seen", "delete from call")
        if mode in ("update_only", "delete"):
            self.endpoint.write(
                *(f"insert into held values ('rows', '{key}', '{{\"value\": 0}}')" for key in KEYS[:20])
            )
            self.possible |= {key: {0} for key in KEYS[:20]}
        self.endpoint.project.contract(MERGES, MERGE_COLUMNS, "service")
        self.endpoint.project.fill(MERGES, MERGE_COLUMNS, [])
        self._declare()
        self.some_rows_change(first, "good")

    # What happens to the source

    @rule(keys=some_keys, kind=st.sampled_from(["good", "good", "good", "refused", "poisoned"]))
    def some_rows_change(self, keys: list[str], kind: str) -> None:
        self.version += 1
        bad = keys[:2] if kind != "good" else []
        self.wanted |= {key: (self.version, kind if key in bad else "good") for key in keys}
        for key in keys:
            self.merged.pop(key, None)
        self._publish()

    @rule(keys=some_keys)
    def some_rows_leave(self, keys: list[str]) -> None:
        self.wanted = {key: row for key, row in self.wanted.items() if key not in keys}
        self._publish()

    @precondition(lambda self: self.mode == "mirror" and len(self.wanted) > 1)
    @rule(data=st.data())
    def two_persons_are_merged(self, data: st.DataObject) -> None:
        loser, winner = data.draw(st.permutations(sorted(self.wanted)))[:2]
        self.merged = {other: winner if into == loser else into for other, into in self.merged.items()} | {
            loser: winner
        }
        self.wanted.pop(loser)
        self._publish()
        told["merges"] += 1

    @precondition(lambda self: bool(self.merged))
    @rule(data=st.data())
    def a_merge_is_undone(self, data: st.DataObject) -> None:
        again = data.draw(st.sampled_from(sorted(self.merged)))
        self.some_rows_change([again], "good")

    @rule()
    def the_field_map_changes(self) -> None:
        self.origin += 1
        self._declare()
        told["changed field maps"] += 1

    @precondition(lambda self: self.mode != "append")  # there it means that all events are wanted once more
    @rule()
    def somebody_resets(self) -> None:
        control.reset("rows", self.endpoint.project.settings, "a test", new_account=False)

    @rule()
    def the_ledger_is_folded(self) -> None:
        ledger = Ledger(self.endpoint.project.settings)
        ledger.fold("rows", always=True)
        ledger.close()
        self.witness.look()

    # Runs

    @rule(step=st.integers(1, 28), every=st.integers(1, 4))
    def a_run_is_killed(self, step: int, every: int) -> None:
        self._attempted()
        self._lossy(every)
        died = self.zygote.run(self.endpoint.project.settings, step)
        told[f"killed before a {died['died_before']}" if died["status"] == -9 else "survived"] += 1
        assert died["status"] == -9 or "steps" in died, died
        self._calm()
        self.witness.look()

    @rule(seed=st.integers(0, 1_000), share=st.sampled_from([0.2, 0.6, 1.0]))
    def answers_are_lost(self, seed: int, share: float) -> None:
        def fate(number: int, path: str) -> Fault | None:
            chance = random.Random(1_000 * seed + number)
            if chance.random() >= share:
                return None
            return Fault(500, after_effect=True) if chance.random() < 0.6 else Fault(503)

        self._attempted()
        self.endpoint.script.rule = fate
        self._run()
        self._calm()
        self.witness.look()
        told["runs with lost answers"] += 1

    @rule()
    def all_goes_well(self) -> None:
        self._attempted()
        must, may = self._due()
        result = self._run()
        self.witness.look()
        if result is None:
            return
        told["rows refused"] += result.rejected
        assert len(must) <= result.rejected <= len(may)
        assert (result.failed, result.in_doubt, result.not_attempted) == (0, 0, 0)
        self._check_rest(may)
        self.witness.check_logs()
        again = self._run()
        assert again is not None
        assert again.sent == result.rejected, "what stands as it should is not sent again"
        self.witness.look()

    def teardown(self) -> None:
        """However the story went, a run without mishaps ends it well."""
        if hasattr(self, "mode"):
            self.all_goes_well()
            told[f"stories in {self.mode}"] += 1

    # Inside

    def _declare(self) -> None:
        more = f"merges: {MERGES}" if self.mode == "mirror" else ""
        self.endpoint.declare(self.mode, more=more)
        path = self.endpoint.project.settings.project_root / "reverse_etl" / "syncs" / "rows.yml"
        origin = f"fields:\n  origin: {{value: origin {self.origin}}}"
        path.write_text(path.read_text().replace("fields:", origin if self.origin % 3 else "fields:"))

    def _publish(self) -> None:
        rows = {
            key: (version, "refused" if kind == "refused" else None, kind == "poisoned" or None)
            for key, (version, kind) in sorted(self.wanted.items())
        }
        self.endpoint.want(rows)
        pairs = [(f"person {loser}", f"person {winner}") for loser, winner in sorted(self.merged.items())]
        if self.mode == "mirror":
            self.endpoint.project.fill(MERGES, MERGE_COLUMNS, pairs)

    def _lossy(self, every: int) -> None:
        self.endpoint.script.rule = lambda number, path: Fault(500, after_effect=True) if number % every == 0 else None

    def _calm(self) -> None:
        self.endpoint.script.rule = None

    def _run(self) -> engine.SyncResult | None:
        """One run; None when the source is empty and something would be deleted: then no call is made."""
        settings, calls = self.endpoint.project.settings, self.endpoint.calls()
        try:
            return engine.run("rows", settings, AS_OF, resolved=small(catalog.resolve("rows", settings)))
        except BlastRadiusError:
            assert self.mode == "mirror"
            assert not [key for key, (_, kind) in self.wanted.items() if kind == "good"]
            assert self.endpoint.calls() == calls
            return None

    def _attempted(self) -> None:
        """What stands at the endpoint after a run that may have sent all, or nothing, of what is wanted."""
        for key, values in self.possible.items():
            version, kind = self.wanted.get(key, (0, "gone"))
            if kind == "gone":
                values |= {None} if self.mode == "mirror" else set()
            elif kind != "good":
                continue
            elif self.mode == "delete":
                values.add(None)
            elif self.mode == "update_only":
                values |= {version} if values != {None} else set()
            elif self.mode not in ("create_only", "append") or None in values:
                values.add(version)

    def _due(self) -> tuple[set[str], set[str]]:
        """Keys that the endpoint must refuse in a run without mishaps, and keys that it may: those were sent well before."""
        bad = {key for key, (_, kind) in self.wanted.items() if kind != "good"}
        if self.mode == "update_only":
            bad |= {key for key in self.wanted if self.possible[key] == {None}}
        sent_once = self.witness.acknowledged().keys() if self.mode in ("create_only", "append", "delete") else set()
        return bad - sent_once, bad

    def _check_rest(self, refused: set[str]) -> None:
        held: dict[str, int | None] = dict.fromkeys(KEYS)
        if self.mode == "append":
            events = self.endpoint.events()
            assert len(events) == len(set(events)), "applied twice"
            held |= self.endpoint.values("event")
        else:
            held |= self.endpoint.values("held")
        for key, value in held.items():
            assert value in self.possible[key], key
            wanted, kind = self.wanted.get(key, (None, "gone"))
            if key in refused:
                continue
            if self.mode == "mirror":
                assert value == wanted, key
            elif kind == "good" and self.mode == "delete":
                assert value is None, key
            elif kind == "good" and self.mode in ("create_only", "append"):
                assert value is not None, key
            elif kind == "good":
                assert value == wanted, key
        self.possible = {key: {value} for key, value in held.items()}
        if self.mode in ("upsert", "mirror", "update_only"):
            self.witness.check_endpoint()


def test_random_stories_keep_the_ledgers_invariants(endpoint: Endpoint, zygote: Zygote, tmp_path: Path) -> None:
    print(f"seed {SEED}, {STORIES} stories of {STEPS} steps")
    Story.endpoint, Story.zygote, Story.folder = endpoint, zygote, tmp_path
    told.clear()
    with_shrinking = [Phase.generate, Phase.shrink] if "CDP_TEST_LEDGER_STORIES" in os.environ else [Phase.generate]
    run_state_machine_as_test(
        hypothesis.seed(SEED)(Story),
        settings=hypothesis.settings(
            max_examples=STORIES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=with_shrinking,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(dict(sorted(told.items())))
    assert told.total() >= STORIES
