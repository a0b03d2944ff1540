"""RTP on the wire: from datagrams to payloads, a batch at a time. Imports nothing of ``rtpverify.dsp``."""
