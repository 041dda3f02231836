"""Views: the state of a stream by key, at any time. Declarations to changes, changes to a store, a store to frames."""
