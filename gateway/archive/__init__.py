"""The older part of the log: each archived stream is a Delta table whose rows hold the records as they were.

From the pure parts to those that act: `layout` (names and positions), `columns` (the schema's fields as columns) and
`index` (which file holds which offsets), then `typed` and `files` (Parquet) and `table` (commits). `archive` reads,
`log` and `reader` are the log that reaches further back, and `archiver`, `compaction` and `erasure` write.
"""
