"""``rtpverify.verify``: a live check while a block runs, in scripts, in event loops, and where something goes wrong."""

import asyncio
import socket
import threading

import pytest

import rtpverify
from rtpverify.result import Verdict
from rtpverify.sender.faults import parse_fault
from rtpverify.sender.rtp_sender import Sender, StreamSettings
from rtpverify.sources.live.endpoint import Endpoint
from tests.helpers.patience import PATIENCE_SECONDS, until, wait_until
from tests.helpers.ports import free_port

FORMAT = {"encoding": "L24/48000/2", "reference": "tone:1283", "limits": {"max_stall_seconds": 60}}
FAULTS = ("loss:at=0.2,packets=3", "slip:at=0.4,frames=48")


@pytest.fixture
def port():
    return free_port()


def sender(port, *faults, seconds=0.7):
    settings = StreamSettings(Endpoint("127.0.0.1", port), faults=[parse_fault(text) for text in faults])
    return Sender([settings], duration_seconds=seconds)


def verify(port, **options):
    return rtpverify.verify(f"rtp://127.0.0.1:{port}", **{**FORMAT, **options})


def is_free(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class TestBlock:
    def test_what_is_sent_within_it_is_verified(self, port):
        with verify(port) as verifier:
            assert not is_free(port)
            with sender(port, *FAULTS) as device:
                device.run()
        assert is_free(port)
        assert [(str(event.kind), event.start_frame) for event in verifier.events()] == [("gap", 9600), ("slip", 19200)]
        result = verifier.result
        assert (result.verdict, result.passed, bool(result)) == (Verdict.FAIL, False, False)
        with pytest.raises(AssertionError, match=r"2 faults: 1 gap, 1 slip\n  gap at 0\.2") as raised:
            result.assert_clean()
        assert "slip at 0.400000 s (frame 19,200), all channels, cause upstream, +48 frames" in str(raised.value)
        result.assert_clean(allow=("gap", "slip"))

    def test_a_clean_device_passes(self, port):
        with verify(port, until_end=True) as verifier:
            with sender(port) as device:
                device.run()
            assert verifier.wait(PATIENCE_SECONDS)
        assert verifier.result.passed
        verifier.result.assert_clean()
        assert verifier.result.streams[0].frames == 33_600

    def test_a_clean_device_passes_in_an_event_loop(self, port):
        async def test():
            async with verify(port) as verifier:
                with sender(port, seconds=None) as device:
                    device.start()
                    await verifier.wait_for_audio_async(PATIENCE_SECONDS)
                    await until(lambda: verifier.result.streams[0].frames > 30_000)
                    result = await verifier.stop_async()
            assert result is verifier.result
            result.assert_clean()

        asyncio.run(test())

    def test_duration_counts_from_the_first_packet_and_the_block_waits_for_it(self, port):
        with sender(port, seconds=None) as device:
            with verify(port, duration=0.5) as verifier:
                device.start()
                verifier.wait_for_audio(PATIENCE_SECONDS)
            assert verifier.result.streams[0].frames >= 0.4 * 48000
        assert verifier.result.passed

    def test_it_tells_what_was_found_so_far(self, port):
        with sender(port, "loss:at=0.2,packets=3", seconds=None) as device, verify(port) as verifier:
            assert verifier.events() == []
            device.start()
            wait_until(lambda: [str(event.kind) for event in verifier.events()] == ["gap"])
            assert verifier.is_running
            result = verifier.stop()
            assert not verifier.is_running
            assert is_free(port)
        assert verifier.result is result
        assert result.request.command.startswith(f"rtpverify.verify('rtp://127.0.0.1:{port}', reference='tone:1283'")

    def test_a_task_that_is_cancelled_closes_the_sockets(self, port):
        async def test():
            async def block():
                async with verify(port) as verifier:
                    await verifier.wait_for_audio_async(PATIENCE_SECONDS)

            for turns in (1, 3, 200):
                task = asyncio.create_task(block())
                for _ in range(turns):
                    await asyncio.sleep(0.001)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await until(lambda: all(thread.name != "rtpverify" for thread in threading.enumerate()))
                assert is_free(port)

        asyncio.run(test())


class TestNothingComes:
    def test_waiting_says_what_to_do(self, port):
        with verify(port) as verifier, pytest.raises(rtpverify.NothingArrived, match="no datagram arrived at all"):
            verifier.wait_for_audio(0.05)

    def test_and_what_came_instead(self, port):
        with verify(port) as verifier, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"no RTP at all", ("127.0.0.1", port))
            wait_until(lambda: verifier.result.discarded)
            with pytest.raises(rtpverify.NothingArrived, match="not RTP"):
                verifier.wait_for_audio(0.01)

    def test_in_an_event_loop(self, port):
        async def test():
            async with verify(port) as verifier:
                with pytest.raises(rtpverify.NothingArrived, match=f"127.0.0.1:{port}: no RTP stream within 0.05 s"):
                    await verifier.wait_for_audio_async(0.05)

        asyncio.run(test())

    def test_a_block_that_ends_too_early_is_never_clean(self, port):
        with verify(port, duration=60) as verifier:
            pass
        assert verifier.result.verdict is Verdict.INCONCLUSIVE
        with pytest.raises(AssertionError, match=r"call verifier\.wait_for_audio"):
            verifier.result.assert_clean(allow=("missing", "ended"))

    def test_stopping_ends_the_waiting(self, port):
        with verify(port) as verifier:
            waiting = threading.Thread(target=verifier.stop)
            waiting.start()
            with pytest.raises(rtpverify.NothingArrived, match="ended before any audio arrived"):
                verifier.wait_for_audio(PATIENCE_SECONDS)
            waiting.join()


class TestMistakes:
    def test_a_port_in_use(self, port):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", port))
            with pytest.raises(rtpverify.RequestError, match=f"port {port} is in use.*another"), verify(port):
                pytest.fail("the block begins")

    def test_a_reference_that_fits_no_stream(self, port):
        def test():
            with sender(port, seconds=None) as device, verify(port, reference="tone:997,998,999") as verifier:
                device.start()
                verifier.wait(PATIENCE_SECONDS)

        with pytest.raises(rtpverify.RequestError, match="3 frequencies for a stream of 2"):
            test()

    @pytest.mark.parametrize(
        ("source", "options", "words"),
        [
            ("capture.pcap", {}, "is no live source; rtpverify.check"),
            ("rtp://127.0.0.1", {}, "is not rtp://"),
            ("rtp://127.0.0.1:5004", {"encoding": "L17/48000"}, "encoding: 'L17/48000'"),
            ("rtp://127.0.0.1:5004", {"profile": "tape"}, "profile: 'tape' is not one of digital, analog"),
            ("rtp://127.0.0.1:5004", {"limits": {"max_thd": 1}}, "limits: unknown limit 'max_thd'; known are"),
            ("rtp://127.0.0.1:5004", {"limits": -60}, "limits: -60 is neither a mapping"),
            ("rtp://127.0.0.1:5004", {"duration": 0}, "duration: 0"),
            ("rtp://127.0.0.1:5004", {"interface": "nosuch0"}, "no interface 'nosuch0'"),
        ],
    )
    def test_are_said_before_the_block(self, source, options, words):
        with (
            pytest.raises(rtpverify.RequestError, match=words),
            rtpverify.verify(source, **{"encoding": "L24/48000/2", **options}),
        ):
            pytest.fail("the block begins")

    def test_a_verifier_that_never_began(self, port):
        for use in ("stop", "events", "wait_for_audio"):
            with pytest.raises(rtpverify.RequestError, match="not begun; use it as a context manager"):
                getattr(verify(port), use)()

    def test_a_verifier_used_twice(self, port):
        with verify(port) as verifier:
            pass
        with pytest.raises(rtpverify.RequestError, match=r"call rtpverify\.verify again"), verifier:
            pytest.fail("the block begins")


class TestEvidence:
    def test_of_a_check_that_fails(self, port, tmp_path):
        with verify(port, evidence=tmp_path / "kept") as verifier, sender(port, *FAULTS) as device:
            device.run()
        assert verifier.evidence == tmp_path / "kept"
        assert sorted(path.name for path in verifier.evidence.iterdir()) == [
            "packets.pcap",
            "report.html",
            "result.json",
        ]
        assert 'id="clips"' in (tmp_path / "kept" / "report.html").read_text()  # its largest events are drawn
        again = rtpverify.check(tmp_path / "kept" / "packets.pcap", **FORMAT)
        assert [(event.kind, event.start_frame) for event in again.streams[0].events] == [
            (event.kind, event.start_frame) for event in verifier.events()
        ]

    def test_none_of_one_that_passes(self, port, tmp_path):
        with verify(port, evidence=tmp_path / "kept") as verifier, sender(port) as device:
            device.run()
        assert verifier.evidence is None
        assert list(tmp_path.iterdir()) == []

    def test_an_exception_closes_the_sockets_and_keeps_it(self, port, tmp_path):
        def test():
            with (
                verify(port, evidence=tmp_path / "kept", duration=3600) as verifier,
                sender(port, seconds=None) as device,
            ):
                device.start()
                verifier.wait_for_audio(PATIENCE_SECONDS)
                1 / 0  # noqa: B018

        with pytest.raises(ZeroDivisionError):
            test()
        assert is_free(port)
        assert "ZeroDivisionError" in (tmp_path / "kept" / "error.txt").read_text()
        assert (tmp_path / "kept" / "packets.pcap").stat().st_size > 300


def test_check_and_inspect_work_while_an_event_loop_runs(port):
    source = f"rtp://127.0.0.1:{port}"

    async def test():
        with sender(port, seconds=None) as device:
            device.start()
            assert rtpverify.check(source, **FORMAT, duration=0.4).passed
            seen = rtpverify.inspect(source, encoding="L24/48000/2", duration=0.4)
            assert seen.source.frames > 0.2 * 48000

    asyncio.run(test())
    with pytest.raises(rtpverify.RequestError, match=r"nothing ends the check .* give duration= or until_end=True"):
        rtpverify.check(source, **FORMAT)
