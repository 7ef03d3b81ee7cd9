"""Start a run, watch it, read its result."""
