"""The service: many streams, metrics, log, until it is asked to stop."""
