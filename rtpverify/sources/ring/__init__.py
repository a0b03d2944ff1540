"""All RTP that passes an interface, whoever it is addressed to: frames from a ring that the kernel fills (Linux)."""
