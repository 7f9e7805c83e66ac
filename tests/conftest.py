"""What all tests share: under the sanitizers, certainty that the sanitized core is the one that is tested."""

import os
from pathlib import Path

import pytest


def pytest_sessionstart(session):
    if "libasan" not in os.environ.get("LD_PRELOAD", ""):
        return
    from tmemstore import _native

    tree = session.config.rootpath
    if tree not in Path(_native.__file__).resolve().parents:
        pytest.exit(f"{_native.__file__} was loaded, not the sanitized core of {tree}", returncode=3)
