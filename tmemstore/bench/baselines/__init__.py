"""Other systems beside ours, in the same run: models of how they would give the same range back."""

NAMES = ("cma", "gcma", "zram")
"""What ``--baseline`` takes, in the order of the result."""
