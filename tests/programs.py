"""Programs that some tests run and that a machine may lack."""

from __future__ import annotations

import os
import shutil

import pytest


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip a test where a program is missing, unless GATEWAY_REQUIRE_PROGRAMS=1 says that it must run (.ci/run)."""
    missing = [name for name in programs if shutil.which(name) is None]
    is_required = os.environ.get("GATEWAY_REQUIRE_PROGRAMS") == "1"
    return pytest.mark.skipif(bool(missing) and not is_required, reason=f"not installed: {', '.join(missing)}")
