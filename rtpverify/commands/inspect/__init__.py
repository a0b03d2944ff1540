"""Looking at audio: ``rtpverify inspect``."""
