"""The version of the package, which has no other home: everything may import it."""

__version__ = "0.1.0"
