"""Counts of events by time and by the values of a member, with bounded work."""
