"""A bench without a test framework: start a device, verify what it sends, say what is wrong.

The device is made of software here. Run with an address of yours to verify what arrives there.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager

import rtpverify

FAULTS = ("loss:at=0.5,packets=3", "slip:at=1,frames=48")


def device(stream: str) -> AbstractContextManager[rtpverify.LiveSender]:
    """Return the device, which is on within its block."""
    return rtpverify.send(stream, encoding="L24/48000/2", frequency=1283, faults=FAULTS, duration=1.5)


def verify(stream: str, start: Callable[[str], AbstractContextManager[object]]) -> rtpverify.Result:
    """Verify what a device sends from the moment it is switched on."""
    with (
        rtpverify.verify(
            stream, encoding="L24/48000/2", reference="tone:1283", limits={"max_stall_seconds": 5}
        ) as verifier,
        start(stream),
    ):
        verifier.wait_for_audio(timeout=10)
    return verifier.result


async def verify_while_others_run(stream: str) -> rtpverify.Result:
    """Do the same in an event loop."""
    async with (
        rtpverify.verify(stream, encoding="L24/48000/2", limits={"max_stall_seconds": 5}) as verifier,
        rtpverify.send(stream, encoding="L24/48000/2", duration=1.0),
    ):
        await verifier.wait_for_audio_async(timeout=10)
    return verifier.result


def main(stream: str = "rtp://127.0.0.1:5004") -> int:
    """Return 0 where all is as it should be: every fault found, and nothing where there is none."""
    result = verify(stream, device)
    print(result)
    for event in result.streams[0].events:
        print(f"  {event.kind} at frame {event.start_frame}, cause {event.cause}: {event.message}")
    clean = asyncio.run(verify_while_others_run(stream))
    print(clean)
    found = [event.kind for event in result.streams[0].events]
    return 0 if found == [rtpverify.Kind.GAP, rtpverify.Kind.SLIP] and clean.passed else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
