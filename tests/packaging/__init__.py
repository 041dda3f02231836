"""What people install: the wheel, the container image."""
