"""The history of events: a store that one process writes and any number may read. Knows nothing of the daemon."""
