"""Datagrams from the network."""
