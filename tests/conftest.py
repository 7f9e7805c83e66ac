"""SIGINT as a terminal gives it and, under the sanitizers, certainty that their core is tested."""

import os
import signal
from pathlib import Path

import pytest


def pytest_sessionstart(session):
    # A shell starts what runs in its background with SIGINT ignored, and whoever is started from there inherits it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if "libasan" not in os.environ.get("LD_PRELOAD", ""):
        return
    from tmemstore import _native

    tree = session.config.rootpath
    if tree not in Path(_native.__file__).resolve().parents:
        pytest.exit(f"{_native.__file__} was loaded, not the sanitized core of {tree}", returncode=3)
