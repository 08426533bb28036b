"""Where the reference material stands, for the tests that compare with it."""

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def shared_file(relative: str) -> Path:
    """A path below ``../shared``; skips the test where the material is not there, and fails in CI."""
    path = SHARED / relative
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail("../shared is missing: CI needs the reference material")
        pytest.skip("../shared is not beside this checkout")
    return path
