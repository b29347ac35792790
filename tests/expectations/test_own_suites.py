"""The suites of this project: complete, makeable and of use."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cdp.settings import PROJECT_ROOT, Settings
from cdp.sources import active_sources, raw_table
from expectations.kinds import UNEXPECTED_ROWS
from expectations.runner import _expectation, suites
from expectations.schemas import schemas

SETTINGS = Settings(project_root=PROJECT_ROOT, sources="")


def test_every_raw_table_of_an_active_source_and_all_that_leaves_has_a_suite() -> None:
    names = {suite.name for suite in suites(SETTINGS)}
    raw = {f"raw.{raw_table(n, t)}" for n, document in active_sources(SETTINGS).items() for t in document.value.tables}
    sent = {f"activation.{path.stem}" for path in (PROJECT_ROOT / "dbt_project/models/activation").glob("snd_*.sql")}
    assert raw | sent | {"profiles.person", "profiles.person_order", "profiles.account"} <= names


def test_every_check_can_be_made_by_great_expectations() -> None:
    made = 0
    for suite in suites(SETTINGS):
        for check in suite.checks:
            assert _expectation(check, datetime(2026, 1, 1, tzinfo=UTC)).meta == {"check": check.name}
            made += 1
    assert made > 300


def test_what_leaves_is_guarded_by_consent_and_key() -> None:
    for suite in suites(SETTINGS):
        if suite.schema != "activation":
            continue
        blocking = {check.name for check in suite.checks if check.blocking}
        assert "consent_is_granted" in blocking, suite.name
        assert any("unique" in check.expectation for check in suite.checks if check.blocking), suite.name


def test_texts_end_and_queries_are_warnings_or_errors_of_their_own() -> None:
    for suite in suites(SETTINGS):
        for check in suite.checks:
            assert check.why.endswith(".") and check.fix.endswith("."), (suite.name, check.name)
            assert (check.expectation == UNEXPECTED_ROWS) == (check.unexpected_rows is not None)


def test_the_published_schema_is_that_of_the_code() -> None:
    for name, text in schemas().items():
        path = PROJECT_ROOT / "docs/schemas" / name
        assert path.read_text(encoding="utf-8") == text, "run `python -m expectations.schemas`"


def test_every_suite_names_its_schema_for_editors() -> None:
    for path in sorted(Path(PROJECT_ROOT / "expectations").glob("*/*.yml")):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        assert first == "# yaml-language-server: $schema=../../docs/schemas/suite.json", path
