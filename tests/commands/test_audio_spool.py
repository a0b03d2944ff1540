import numpy as np

from rtpverify.commands.audio_spool import Spool
from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.stream import Stream
from rtpverify.rtp.batch import Flow
from rtpverify.rtp.payload import parse_rtpmap
from rtpverify.transport.packet_index import PacketIndex


def stream(index=0, encoding="L16/48000/2"):
    return Stream(
        index=index,
        spec=StreamSpec(),
        flow=Flow("192.0.2.1:5004", "192.0.2.2:5004"),
        ssrc=1,
        payload_type=97,
        encoding=parse_rtpmap(encoding),
        first_arrival_ns=0,
        packets=PacketIndex(),
    )


def test_frames_stand_where_they_belong_in_any_order():
    spool, one = Spool(), stream()
    samples = np.random.default_rng(1).uniform(-1, 1, (10, 48, 2)).astype(np.float32)
    order = np.array([0, 1, 2, 5, 4, 9, 8])
    spool.take(one, order[:4] * 48, samples[order[:4]])
    spool.take(one, order[4:] * 48, samples[order[4:]])
    audio = spool.audio(one)
    assert (audio.frames, audio.channels, audio.bits, audio.channel_names) == (480, 2, 16, ("L", "R"))
    assert audio.warnings == ("144 of 480 frames never arrived and read as 0",)
    wanted = samples.copy()
    wanted[[3, 6, 7]] = 0
    for frames_per_block in (7, 480, 1000):
        blocks = list(audio.blocks(frames_per_block))
        np.testing.assert_array_equal(np.concatenate(blocks), wanted.reshape(480, 2))


def test_a_stream_that_takes_the_place_of_another_has_its_own():
    spool, before, after = Spool(), stream(), stream()
    spool.take(before, np.array([0]), np.ones((1, 4, 2)))
    spool.take(after, np.array([0]), np.zeros((1, 4, 2)))
    assert spool.streams == [after]
    assert not np.concatenate(list(spool.audio(after).blocks(10))).any()
