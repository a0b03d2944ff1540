"""Announcements that cannot be sent are told."""

from rtpverify.sender.announcer import Announcer
from rtpverify.sources.live.endpoint import Endpoint


def test_why_nothing_could_be_announced():
    announcer = Announcer([(Endpoint("127.0.0.1", 5004), "127.0.0.1", "v=0\r\n")])
    assert announcer.failure is None
    announcer.close()
    announcer.tick(0)
    assert announcer.failure is not None
    assert announcer.failure.startswith("224.2.127.254:9875: ")
