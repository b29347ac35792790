"""What people get wrong, and machines: each is said with its place and what to do, before anything is written."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A copy of the project without any data."""
    return Site.make(tmp_path)


def change(site: Site, path: str, old: str, new: str) -> Path:
    """Replace a part of a declaration that must be there."""
    target = site.root / path
    text = target.read_text()
    assert old in text
    target.write_text(text.replace(old, new, 1))
    return target


def test_wrong_declarations_stop_a_run_before_anything_is_written(site: Site) -> None:
    """A misspelt key and an unknown column, in two files: both are told at once."""
    change(site, "dbt_project/tags/fair_visitor.yml", "owner:", "ownr:")
    change(site, "dbt_project/tags/high_value_customer.yml", "revenue_365d >= 3000", "revenue_365 >= 3000")
    for arguments in (("declarations", "check"), ("run",)):
        done = site.cdp(*arguments)
        told = done.stdout + done.stderr
        assert done.returncode == 2, told
        assert "tags/fair_visitor.yml:3: ownr: unknown key" in told
        assert 'did you mean "owner"?' in told
        assert "tags/high_value_customer.yml:6" in told
        assert 'did you mean "revenue_365d"?' in told
        assert "Traceback" not in told
    assert not site.settings.warehouse_path.exists()
    assert not list((site.root / "dbt_project" / "models" / "generated").rglob("*.sql"))


def test_a_wrong_source_stops_a_run_before_anything_is_written(site: Site) -> None:
    change(site, "ingest/sources/nps.yml", "kind: event_log", "kind: event_lok")
    done = site.cdp("run")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "ingest/sources/nps.yml:5" in done.stderr
    assert 'did you mean "event_log"?' in done.stderr
    assert "Traceback" not in done.stderr
    assert not site.settings.warehouse_path.exists()


@pytest.mark.parametrize("arguments", [("run", "--as-of", "tomorrow"), ("run", "--sources", "nothing_like_it")])
def test_wrong_arguments_stop_a_run(site: Site, arguments: tuple[str, ...]) -> None:
    done = site.cdp(*arguments)
    assert done.returncode in (2, 3), done.stderr
    assert arguments[1] in done.stderr and "expected:" in done.stderr
    assert "Traceback" not in done.stderr
    assert not site.data.exists() or not site.settings.warehouse_path.exists()


def test_a_wrong_setting_is_named(site: Site) -> None:
    done = site.cdp("run", CDP_THREADS="many")
    assert done.returncode == 3, done.stderr
    assert "CDP_THREADS" in done.stderr and "Traceback" not in done.stderr


def test_a_data_folder_that_cannot_be_made(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a-file").write_text("not a folder")
    done = Site(site.root, tmp_path / "a-file" / "data").cdp("run")
    assert done.returncode == 3, done.stderr
    assert "CDP_DATA_DIR" in done.stderr and "Traceback" not in done.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        [shutil.which("mount") or "mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted here (needs root): {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run([shutil.which("umount") or "umount", str(folder)], check=True)


def test_a_full_disk_is_told(site: Site, small_disk: Path) -> None:
    """Full before anything has landed; tests of ingest fill the disk while rows land, and complete the load afterwards."""
    full = Site(site.root, small_disk / "data")
    done = full.cdp("run")
    told = done.stdout + done.stderr
    assert done.returncode == 3, told
    assert "Traceback" not in told, told
    assert "no room left" in told and "CDP_DATA_DIR" in told, told
