"""Samples on the media timeline, and which packet carried them."""
