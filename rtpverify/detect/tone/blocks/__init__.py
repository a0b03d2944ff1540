"""Blocks of a tone that is in order: fits of all channels at once."""
