"""What is known about a storage device: measured, assumed, or emulated."""
