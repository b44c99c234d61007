"""Chromium, which Debian installs; Playwright downloads nothing. Without either, what needs them is skipped."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

IS_REQUIRED = "GATEWAY_REQUIRE_BROWSER" in os.environ  # `.ci/run` says so: there nothing is skipped
if IS_REQUIRED:
    playwright_api = importlib.import_module("playwright.sync_api")
else:
    playwright_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(not IS_REQUIRED and not any(map(shutil.which, BROWSERS)), reason="found no Chromium"),
]


@contextmanager
def chromium() -> Iterator[Any]:
    """Run it for the length of a block."""
    with playwright_api.sync_playwright() as driver:
        path = next(found for name in BROWSERS if (found := shutil.which(name)))
        running = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()
