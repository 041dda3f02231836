"""The style of the documents, which `scripts/prose` checks."""
