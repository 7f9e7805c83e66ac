"""Says in one sentence what a machine lacks for ``make build``; exit status 3 if anything.

Run by the Python that is to make the virtual environment, possibly a very old one.
"""

import importlib.util
import os
import shutil
import sys
import sysconfig

OLDEST = (3, 11)
HOW = "Debian/Ubuntu: apt-get install gcc python3-venv python3-dev; Fedora: dnf install gcc python3-devel"


def missing() -> "list[str]":
    """Return what this Python and this machine lack, in words; empty if nothing."""
    if sys.version_info < OLDEST:
        return ["Python {}.{} or newer (say which one: make PYTHON=python3.12 ...)".format(*OLDEST)]
    lacks = []
    if importlib.util.find_spec("ensurepip") is None:
        lacks.append("the venv and ensurepip modules of Python (package python3-venv)")
    if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):  # noqa: PTH110, PTH118
        lacks.append("Python.h (package python3-dev or python3-devel)")
    if shutil.which(os.environ.get("CC", "gcc").split()[0]) is None:
        lacks.append("a C compiler (package gcc)")
    return lacks


def main() -> int:
    """Print the sentence; return the exit status."""
    lacks = missing()
    if not lacks:
        return 0
    print("tmemstore cannot be built here: missing {}. {}.".format(", ".join(lacks), HOW), file=sys.stderr)
    return 3


if __name__ == "__main__":
    sys.exit(main())
