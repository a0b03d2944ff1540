"""Datagrams from capture files."""
