"""The recording detector: audio compared with a recording, aligned to the frame and below.

``bank.py`` is the detector; each stream is a :class:`~rtpverify.detect.recording.follower.Follower`, each of its
channels a :class:`~rtpverify.detect.recording.track.Track` with a :class:`~rtpverify.detect.recording.model.Model` of
how it follows from the recording.

What was recoded has no frames to follow: ``warped.py`` compares it by what it plays.
"""
