"""Which streams the daemon follows, and their state."""
