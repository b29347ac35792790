"""kill -9 at every step boundary and at random instants, against an endpoint that loses answers.

CDP_TEST_CRASHES=all tries every boundary in every mode; by default every fifth in the two that differ most (the first one moves
with CDP_TEST_SEED, which is printed), and three random instants.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.emulators.faults import Fault
from reverse_etl import control
from reverse_etl.ledger import Ledger
from tests.reverse_etl.conftest import Project
from tests.reverse_etl.webhooks import Endpoint, endpoint

__all__ = ["endpoint"]

ROOT = Path(__file__).resolve().parents[2]
ALL = os.environ.get("CDP_TEST_CRASHES") == "all"
MODES = ["mirror", "append", "upsert", "update_only", "create_only", "delete"] if ALL else ["mirror", "append"]
SEED = int(os.environ.get("CDP_TEST_SEED", "20260301"))
STRIDE = 1 if ALL else 5
INSTANTS = int(os.environ.get("CDP_TEST_INSTANTS", "3"))
ROWS = 230

Die = Callable[..., dict[str, Any]]


@pytest.fixture
def die(project: Project) -> Iterator[Die]:
    """Run the sync in a process that dies at a step (0: not at all), or so many seconds after its start."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.reverse_etl.dying"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as zygote:
        assert zygote.stdin is not None
        assert zygote.stdout is not None
        stdin, stdout = zygote.stdin, zygote.stdout

        def ask(step: int = 0, after: float | None = None) -> dict[str, Any]:
            names = ("CDP_WEBHOOK__BASE_URL", "CDP_WEBHOOK__SECRET")
            environment = {name: os.environ[name] for name in names}
            asked = {
                "root": str(project.settings.project_root),
                "step": step,
                "after": after,
                "environment": environment,
            }
            stdin.write(json.dumps(asked) + "\n")
            stdin.flush()
            return dict(json.loads(stdout.readline()))

        yield ask
        stdin.close()


class Story:
    """What the source wants round by round in a mode, and what must then stand at the endpoint."""

    def __init__(self, mode: str, endpoint: Endpoint) -> None:
        self.mode, self.endpoint, self.round = mode, endpoint, 0
        self.expected: dict[str, int] = {}
        self.ever: set[str] = set()
        if mode in ("update_only", "delete"):
            # Something must stand there before it can be updated or deleted.
            endpoint.declare("upsert")
            endpoint.want({f"r{n:03}": 0 for n in range(4 * ROWS)})
            assert endpoint.run().ok
            self.expected = {f"r{n:03}": 0 for n in range(4 * ROWS)}
            control.reset("rows", endpoint.project.settings, "another mode", new_account=True)
        endpoint.declare(mode)

    def change(self) -> None:
        """The next round: most rows change, some go, some come."""
        self.round += 1
        first = 7 * self.round
        wanted = {f"r{n % 920:03}": self.round for n in range(first, first + ROWS)}
        self.endpoint.want(wanted)
        before = dict(self.expected)
        match self.mode:
            case "mirror":
                self.expected = wanted
            case "append":
                self.ever |= wanted.keys()
            case "create_only":
                self.expected = {**wanted, **before}
            case "delete":
                self.expected = {key: value for key, value in before.items() if key not in wanted}
            case _:
                self.expected = {**before, **wanted}

    def check(self) -> None:
        """Everything wanted stands there, and nothing that allows a key was applied twice."""
        if self.mode == "append":
            assert Counter(self.endpoint.events()) == Counter(dict.fromkeys(self.ever, 1))
        else:
            assert self.endpoint.held() == self.expected
        ledger = Ledger(self.endpoint.project.settings)
        assert ledger.doubtful_batches("rows") == []
        assert [run.status for run in ledger.runs("rows", 1)] == ["succeeded"]
        ledger.close()


@pytest.mark.parametrize("mode", MODES)
def test_kill_9_at_every_step_boundary(endpoint: Endpoint, die: Die, mode: str) -> None:
    story = Story(mode, endpoint)
    deaths = 0
    print(f"seed {SEED}, every {STRIDE}")
    for step in range(1 + SEED % STRIDE, 400, STRIDE):
        story.change()
        # Every third call that changes something loses its answer.
        endpoint.script.rule = lambda number, path: Fault(500, after_effect=True) if number % 3 == 0 else None
        died = die(step)
        endpoint.script.rule = None
        deaths += died["status"] == -9
        after = die()
        assert (after["status"], after.get("ok")) == (0, True), after
        story.check()
        if died["status"] == 0:
            break
    else:
        pytest.fail("the run never came to its end")
    applied = endpoint.query("select count(*) from applied")[0][0]
    print(f"{mode}: killed at each of {deaths} boundaries, {story.round} rounds, {applied} effects at the endpoint")
    assert deaths * STRIDE >= 15


@pytest.mark.parametrize("mode", ["mirror", "append"])
def test_kill_9_at_random_instants(endpoint: Endpoint, die: Die, mode: str) -> None:
    print(f"seed {SEED}, {INSTANTS} instants")
    chance, story, deaths = random.Random(SEED), Story(mode, endpoint), 0
    story.change()
    assert die()["status"] == 0
    for _ in range(INSTANTS):
        story.change()
        lossy = chance.random()
        endpoint.script.rule = lambda number, path, lossy=lossy: (  # type: ignore[misc]
            Fault(500, after_effect=True) if random.Random(number * lossy).random() < 0.3 else None
        )
        for _ in range(chance.randint(1, 3)):
            deaths += die(after=chance.uniform(0.02, 0.8))["status"] == -9
        endpoint.script.rule = None
        after = die()
        assert (after["status"], after.get("ok")) == (0, True), after
        story.check()
    print(f"{mode}: {deaths} deaths")
