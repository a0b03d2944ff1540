"""The other end: reference tones, faults on request, paced RTP."""
