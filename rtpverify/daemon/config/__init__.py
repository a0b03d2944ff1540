"""The configuration file of the daemon."""
