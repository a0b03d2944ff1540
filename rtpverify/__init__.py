"""Integrity verifier for audio that travels as RTP."""

__version__ = "0.1.0"
