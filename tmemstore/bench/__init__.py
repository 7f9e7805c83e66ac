"""Benchmarks that a user runs, on real pages of the user's machine; they use the public names of tmemstore only."""
