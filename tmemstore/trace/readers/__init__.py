"""Readers of what others record: each file of this folder knows one kind of input, `opening` finds out which."""
