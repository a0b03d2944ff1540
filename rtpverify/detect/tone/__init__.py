"""The tone detector: every sample compared with a synthesised sine.

How a channel is checked
------------------------
1. ``detector`` fits a steady sine to every block of every channel at once. A block is *clean* when its residual looks
   like the channel's own noise and its phase, level and offset continue where the blocks before ended. Clean blocks
   are measured and nothing more.
2. ``scanner`` takes over a channel whose block is not clean. It carries the sine of before forward frame by frame,
   finds the first frame that departs beyond what the noise can do, and has it explained: by the likelihoods of all
   faults (:mod:`rtpverify.detect.explain`), or by a tone that is lost. It hands the channel back when two blocks are
   clean again.
3. ``monitor`` checks what is sustained (level, offset, frequency, residual) against the limits.

Frames count on the media timeline of the stream; thresholds come from the measured noise at a stated false-alarm rate
(:data:`rtpverify.dsp.slip.FALSE_ALARM_Z`).
"""
