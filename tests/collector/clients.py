"""What real SDKs need to run: npm packages in a cache folder, a browser of this machine, a server of pages."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

HERE = Path(__file__).resolve().parent / "npm"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def npm_modules() -> Path:
    """`node_modules` with the SDKs of package.json, installed once a machine. Skips where npm or its packages are missing."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node and npm are not installed")
    text = (HERE / "package.json").read_bytes()
    base = Path(os.environ.get("CDP_NPM_CACHE", tempfile.gettempdir()))
    folder = base / f"tributary-npm-{hashlib.sha256(text).hexdigest()[:12]}"
    with FileLock(f"{folder}.lock"):
        if not (folder / "installed").exists():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "package.json").write_bytes(text)
            # no scripts of packages are run
            command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional", "--silent"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
            if done.returncode:
                pytest.skip("the SDKs cannot be installed with npm")
            (folder / "installed").touch()
    return folder / "node_modules"


@contextmanager
def pages(modules: Path) -> Iterator[str]:
    """A server of the test pages and of the SDKs; its address."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            plain = path.partition("?")[0]
            if plain.startswith("/modules/"):
                return str(modules / plain.removeprefix("/modules/"))
            return str(HERE / plain.lstrip("/"))

        def log_message(self, *_: Any) -> None:
            """Silence."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def browser_page() -> Iterator[Any]:
    """A page of the machine's own Chromium. Skips where there is none."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("there is no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser.new_page()
        finally:
            browser.close()
