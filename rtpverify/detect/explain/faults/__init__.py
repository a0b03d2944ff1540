"""Every fault that a signal can show, in one registry; their order means nothing."""

from rtpverify.detect.explain.faults.content import (
    ChannelSwap,
    Exchanged,
    Frequency,
    Mismatch,
    NoisyRepeat,
    Repeat,
    Slip,
)
from rtpverify.detect.explain.faults.level import (
    Clipping,
    DcOffset,
    Distortion,
    Dropout,
    Gain,
    OneSidedClipping,
    Polarity,
)
from rtpverify.detect.explain.faults.noise import Click, Hiss, Scattered
from rtpverify.detect.explain.faults.words import ByteOrder, WordLength
from rtpverify.detect.explain.model import FaultModel

FAULTS: tuple[FaultModel, ...] = (
    Click(),
    Hiss(),
    Scattered(),
    Gain(),
    Polarity(),
    DcOffset(),
    Dropout(),
    Clipping(),
    OneSidedClipping(),
    Distortion(),
    Repeat(),
    NoisyRepeat(),
    Slip(),
    ChannelSwap(),
    Exchanged(),
    Frequency(),
    Mismatch(),
    WordLength(),
    ByteOrder(),
)
