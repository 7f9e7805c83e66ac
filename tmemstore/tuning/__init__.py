"""Choosing the knob from a workload, a device and a deadline."""
