"""Detectors: from frames on the media timeline to events and measurements."""
