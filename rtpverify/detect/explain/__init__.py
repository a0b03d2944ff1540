"""What a departure of one channel from its reference is: the one place where a fault of the signal gets its name.

A detector notices that a channel departs from what it should carry, by blocks and thresholds. What it is, how large,
and where it begins and ends is decided here, on samples, and alike for a tone and for a recording::

    departure = Departure(start, x, valid, first, stop, history, reference)
    best = explain(departure)  # None where nothing explains it better than "in order"
    best.kind, best.start, best.stop, best.size, best.confidence, best.alternatives

**The rule.** Every explanation says that the frames are ``m(expected; θ)`` and noise: that of the channel in order, or
more of it, as much as is left. Its score is the sum, over its frames, of its log-likelihood less that of "in order",
less what its parameters cost (the logarithm of how many values each could have had) and its prior. Both edges are those
of the interval of greatest sum; the parameters are fitted inside it again until it moves no more. Nothing else decides,
and there is no order in which explanations are tried.

**To use it** a detector gives

- a :class:`~rtpverify.detect.explain.reference.Reference`: what is expected of any frames, how noisy they are in order,
  and, where it can, the content of other places and channels;
- a :class:`~rtpverify.detect.explain.departure.Departure`: frames from some milliseconds before the first wrong one
  (edges are looked for in all of them) up to what is known, those lost marked in ``valid``, the frames before as
  ``history`` (a second of it; copies are looked for there), and ``first`` and ``stop``: which frames look wrong.

``Explanation.ended`` shows whether the frames after ``stop`` show that it is over; where it is False the fault reaches
as far as anything is known. :func:`explain_all` explains what the best explanation leaves, too. Where a fault that
stays gives way to order, or to another one, :func:`change_frame` finds the frame.

**Cost.** All is linear in the frames but the search for a copy (one FFT over the history). Give no more frames than
decide: for a fault that lasts, a quarter of a second from its first wrong frame, and later the surroundings of its end.

**To add a fault** write a class with ``fit`` (see :class:`~rtpverify.detect.explain.model.FaultModel`) in one of the
modules of ``rtpverify.detect.explain.faults`` and put it into ``FAULTS``.
"""

from rtpverify.detect.explain.departure import Departure
from rtpverify.detect.explain.engine import SURE, Explanation, anything, change_frame, explain, explain_all
from rtpverify.detect.explain.faults import FAULTS
from rtpverify.detect.explain.faults.level import Clipping
from rtpverify.detect.explain.likelihood import Noise
from rtpverify.detect.explain.model import FaultModel
from rtpverify.detect.explain.reference import Moved, Reference

__all__ = [
    "FAULTS",
    "SURE",
    "Clipping",
    "Departure",
    "Explanation",
    "FaultModel",
    "Moved",
    "Noise",
    "Reference",
    "anything",
    "change_frame",
    "explain",
    "explain_all",
]
