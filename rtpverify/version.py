"""The version of the package, which has no other home: everything may import it."""

__version__ = "0.2.0"
