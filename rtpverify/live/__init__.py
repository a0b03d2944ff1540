"""The live loop: receiver, verifier and timer."""
