"""Frames from audio files."""
