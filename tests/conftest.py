"""For all tests: SIGINT as from a terminal, no time limit for examples, and the sanitized core under sanitizers."""

import os
import signal
from pathlib import Path

import hypothesis
import pytest

# No test depends on how fast or busy a machine is.
hypothesis.settings.register_profile("tmemstore", deadline=None)
hypothesis.settings.load_profile("tmemstore")


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
