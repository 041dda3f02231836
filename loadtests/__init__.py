"""Measurements of the gateway on this machine. They start what they measure and talk to loopback only."""
