"""Puts tests/ on the path, for support.py, and makes its fixtures known in this folder."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
pytest.register_assert_rewrite("support")

from store_fixture import opened  # noqa: E402

__all__ = ["opened"]
