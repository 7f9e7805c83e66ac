"""Fails if a source file is longer than one can hold in one's head."""

import sys
from pathlib import Path

MOST_LINES = 400
FOLDERS = ("native", "tmemstore", "tests", "tools", "bench")
SUFFIXES = (".py", ".c", ".h")


def main() -> int:
    """Print each file that is too long; return the exit status."""
    root = Path(__file__).resolve().parent.parent
    files = [path for folder in FOLDERS for path in sorted(root.glob(f"{folder}/**/*")) if path.suffix in SUFFIXES]
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    long = {path: lines for path, lines in lengths.items() if lines > MOST_LINES}
    for path, lines in long.items():
        print(f"{path.relative_to(root)}: {lines} lines, {MOST_LINES} at most: give a part of it a file of its own")
    return 1 if long else 0


if __name__ == "__main__":
    sys.exit(main())
