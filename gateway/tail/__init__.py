"""`gateway tail`: event streams in a terminal, or in a pipe."""
