"""Traces: recorded loads of a store, their formats, and running them through the core in virtual time."""
