"""Policy: what an allocation may cost, and what `tmemstore.open` gives."""
