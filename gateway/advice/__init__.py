"""Tells what a request names and the schemas of its streams exclude."""
