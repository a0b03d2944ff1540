"""Making heard what cannot be seen: ``rtpverify listen``."""
