"""All targets, by name."""

from tests.fuzz import files, http, wire

TARGETS = wire.TARGETS | files.TARGETS | http.TARGETS
