"""The service: many streams, metrics, log, until it is told to stop."""
