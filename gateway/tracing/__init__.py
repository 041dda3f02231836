"""Traces of requests: a port, and an adapter for OpenTelemetry that is loaded only where it is configured."""
