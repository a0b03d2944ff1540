"""Pure functions on arrays of samples. Imports nothing of ``rtpverify.rtp``."""
