"""Where the daemon's events go."""
