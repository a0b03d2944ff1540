"""What goes out, received over loopback with nothing but a socket."""

import socket
import struct
import time
from dataclasses import dataclass

import pytest

from rtpverify.errors import RequestError, SourceError
from rtpverify.rtp.payload import Encoding, encode, parse_rtpmap
from rtpverify.rtp.rtcp import Bye, ReceiverReport, SourceDescription, parse_rtcp
from rtpverify.sender.faults import parse_fault
from rtpverify.sender.rtp_sender import Sender, StreamSettings, send
from rtpverify.sender.signal_faults import DamagedSignal
from rtpverify.sender.tone import ToneSignal
from rtpverify.sources.live import mmsg
from rtpverify.sources.live.endpoint import Endpoint
from tests.helpers.patience import PATIENCE_SECONDS

L16_MONO = Encoding("L16", 8000, 1)


@dataclass
class Packet:
    first: int
    second: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    source: tuple


class Receiver:
    def __init__(self, address="127.0.0.1", port=0):
        self.socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind((address, port))
        self.socket.settimeout(PATIENCE_SECONDS)
        self.endpoint = Endpoint(address, self.socket.getsockname()[1])

    def packets(self):
        """Return everything that was sent, the sending being over: over loopback it has arrived by then."""
        self.socket.setblocking(False)
        found = []
        while True:
            try:
                data, source = self.socket.recvfrom(65536)
            except BlockingIOError:
                return found
            found.append(Packet(*struct.unpack("!BBHII", data[:12]), data[12:], source))


@pytest.mark.parametrize(
    ("encoding", "frames"),
    [
        ("L24/48000/2", 48),
        ("L24/48000/8", 48),
        ("L16/44100/2", 44),
        ("PCMU/8000/1", 8),
        ("L24/96000/8", 32),
        ("L16/48000/64", 6),
        ("F32/192000/128", 2),
    ],
)
def test_packets_fit_an_ethernet_frame_unless_something_else_is_asked_for(encoding, frames):
    settings = StreamSettings(encoding=parse_rtpmap(encoding))
    assert settings.packet_frames == frames
    assert settings.payload_bytes + 12 + 8 + 20 <= 1500
    asked = StreamSettings(encoding=settings.encoding, packet_time_seconds=0.004)
    assert asked.packet_frames == round(0.004 * asked.encoding.sample_rate_hz)


@pytest.fixture
def receive():
    opened = []

    def make(address="127.0.0.1", port=0):
        opened.append(Receiver(address, port))
        return opened[-1]

    yield make
    for receiver in opened:
        receiver.socket.close()


@pytest.fixture(params=["sendmmsg", "sendto"])
def system_call(request, monkeypatch):
    if request.param == "sendto":
        monkeypatch.setattr(mmsg, "available", False)
    elif not mmsg.available:
        pytest.skip("needs Linux")


def settings_for(receiver, **options):
    return StreamSettings(destination=receiver.endpoint, **options)


@pytest.mark.usefixtures("system_call")
def test_headers_and_samples_of_two_streams(receive):
    one, two = receive(), receive()
    tone = ToneSignal([997.0, 1499.0])
    streams = [
        settings_for(one, signal=tone, ssrc=1, sequence=65500, timestamp=2**32 - 480),
        settings_for(
            two, encoding=L16_MONO, packet_time_seconds=0.005, payload_type=11, ssrc=2, sequence=0, timestamp=7
        ),
    ]
    progress = send(streams, 0.1)
    packets = one.packets()
    assert len(packets) == 100
    assert {(packet.first, packet.second, packet.ssrc) for packet in packets} == {(0x80, 97, 1)}
    assert [packet.sequence for packet in packets] == [(65500 + k) % 65536 for k in range(100)]
    assert [packet.timestamp for packet in packets] == [(2**32 - 480 + 48 * k) % 2**32 for k in range(100)]
    expected = encode(Encoding("L24", 48000, 2), tone.read(0, 4800))
    assert b"".join(packet.payload for packet in packets) == expected

    packets = two.packets()
    assert [(packet.second, packet.sequence, packet.timestamp) for packet in packets] == [
        (11, k, 7 + 40 * k) for k in range(20)
    ]
    default = ToneSignal(sample_rate_hz=8000, channels=1)
    assert b"".join(packet.payload for packet in packets) == encode(L16_MONO, default.read(0, 800))
    assert progress.packets_sent == 120
    assert progress.packets_refused == 0


def test_audio_that_does_not_repeat_is_encoded_block_by_block(receive):
    receivers = [receive() for _ in range(3)]
    faults = [parse_fault("slip:at=0.11,frames=5,channel=1"), parse_fault("click:at=0.2,size=0.3")]
    send([settings_for(item, faults=faults, dither="tpdf", seed=k) for k, item in enumerate(receivers)], 0.35)
    for k, item in enumerate(receivers):
        samples = DamagedSignal(ToneSignal(), faults, bits=24, dither="tpdf", seed=k).read(0, 350 * 48)
        assert b"".join(packet.payload for packet in item.packets()) == encode(Encoding("L24", 48000, 2), samples)


def receive_pair(receive):
    """Receive on a port and on the next one."""
    while True:
        first = receive()
        try:
            return first, receive(port=first.endpoint.port + 1)
        except OSError:  # taken: try another pair
            continue


@pytest.mark.parametrize("bye", ["yes", "mux"])
def test_a_sender_that_says_goodbye_sends_nothing_more(receive, bye):
    port, rtcp = receive_pair(receive)
    send([settings_for(port, ssrc=9, faults=[parse_fault(f"ended:at=0.01,bye={bye}")])], 0.05)
    packets = port.packets()
    assert len([packet for packet in packets if packet.second == 97]) == 10
    [goodbye] = [packet for packet in (packets if bye == "mux" else rtcp.packets()) if packet.second == 201]
    raw = struct.pack("!BBHII", goodbye.first, goodbye.second, goodbye.sequence, goodbye.timestamp, goodbye.ssrc)
    said = parse_rtcp(raw + goodbye.payload)
    assert [type(report) for report in said.reports] == [ReceiverReport, SourceDescription, Bye]
    assert (said.reports[0].ssrc, said.reports[2].ssrcs, said.unread) == (9, (9,), {})


def test_a_sender_that_is_late_sends_all_of_it(receive):
    late, never = receive(), receive()
    progress = send(
        [
            settings_for(late, sequence=0, faults=[parse_fault("missing:seconds=0.1")]),
            settings_for(never, faults=[parse_fault("missing")]),
        ],
        0.05,
    )
    assert [packet.sequence for packet in late.packets()] == list(range(50))
    assert never.packets() == []
    assert progress.packets_sent == 50
    assert progress.elapsed_seconds >= 0.14


def test_transport_faults_hit_their_stream_alone(receive):
    faulty, clean = receive(), receive()
    faults = [
        "loss:at=0.01,packets=3",
        "duplicate:at=0.02",
        "reorder:at=0.03,by=2",
        "late:at=0.04,delay=0.02",
        "stall:at=0.07,seconds=0.01",
        "ssrc_change:at=0.095,ssrc=77",
    ]
    streams = [
        settings_for(item, ssrc=5, sequence=0, timestamp=0, faults=[parse_fault(text) for text in chosen])
        for item, chosen in ((faulty, faults), (clean, []))
    ]
    progress = send(streams, 0.1)
    order = [*range(10), *range(13, 21), 20, *range(21, 30), 31, 32, 30, *range(33, 40), *range(41, 61), 40]
    order += range(61, 100)
    packets = faulty.packets()
    assert [packet.sequence for packet in packets] == order
    assert [packet.timestamp for packet in packets] == [48 * k for k in order]
    assert [packet.ssrc for packet in packets] == [5 if k < 95 else 77 for k in order]
    audio = encode(Encoding("L24", 48000, 2), ToneSignal().read(0, 4800))
    assert all(packet.payload == audio[288 * packet.sequence : 288 * packet.sequence + 288] for packet in packets)
    assert [packet.sequence for packet in clean.packets()] == list(range(100))
    assert progress.packets_sent == 98 + 100


def test_a_packet_held_up_to_the_end_still_goes_out(receive):
    receiver = receive()
    send([settings_for(receiver, sequence=0, faults=[parse_fault("late:at=0.018,delay=5")])], 0.02)
    assert [packet.sequence for packet in receiver.packets()] == [*range(18), 19, 18]


def test_a_signal_that_ends_ends_its_stream_alone(receive):
    class Short(ToneSignal):
        frames = 100
        period_frames = None

    short, long = receive(), receive()
    send([settings_for(short, signal=Short()), settings_for(long)], 0.02)
    assert [len(packet.payload) for packet in short.packets()] == [288, 288, 24]
    assert [len(packet.payload) for packet in long.packets()] == [288] * 20


class Ending(ToneSignal):
    """A tone of 484 frames: ten packets and four frames."""

    frames = 484
    period_frames = None


@pytest.mark.usefixtures("system_call")
@pytest.mark.parametrize(("last_packet", "packets"), [("short", [288] * 10 + [24]), ("drop", [288] * 10)])
def test_frames_at_the_end_that_fill_no_packet(receive, last_packet, packets):
    one, other, long = receive(), receive(), receive()
    faults = [parse_fault("late:at=0.0101,delay=0.002")]
    streams = [
        settings_for(one, signal=Ending(), last_packet=last_packet, sequence=0),
        settings_for(other, signal=Ending(), last_packet=last_packet, sequence=0, faults=faults),
        settings_for(long),
    ]
    send(streams, 0.03)
    for receiver in (one, other):
        found = sorted(receiver.packets(), key=lambda packet: packet.sequence)
        assert [len(packet.payload) for packet in found] == packets
        payload = b"".join(packet.payload for packet in found)
        assert payload == encode(Encoding("L24", 48000, 2), DamagedSignal(Ending(), bits=24).read(0, len(payload) // 6))
    assert [len(packet.payload) for packet in long.packets()] == [288] * 30


def test_a_stream_that_is_stopped_before_its_end_has_whole_packets(receive):
    receiver = receive()
    send([settings_for(receiver, signal=Ending())], 0.01)
    assert [len(packet.payload) for packet in receiver.packets()] == [288] * 10


def test_packets_leave_in_time_not_all_at_once(receive):
    receiver = receive()
    with Sender([settings_for(receiver)]) as sender:
        before = time.monotonic()
        sender.start()
        for _ in range(100):
            receiver.socket.recv(65536)
        sender.stop()
        elapsed_seconds = time.monotonic() - before
    assert 100 + len(receiver.packets()) <= elapsed_seconds / 0.001 + 1


def test_64_streams_in_step(receive):
    receiver = receive()
    signal = ToneSignal()
    streams = [settings_for(receiver, signal=signal, ssrc=k, sequence=0) for k in range(64)]
    send(streams, 0.02)
    assert [(packet.sequence, packet.ssrc) for packet in receiver.packets()] == [
        (number, ssrc) for number in range(20) for ssrc in range(64)
    ]


def test_ipv6_and_a_chosen_source(receive):
    six, four = receive("::1"), receive()
    chosen = Endpoint(four.endpoint.address, four.endpoint.port, "127.0.0.9")
    send([settings_for(six), StreamSettings(destination=chosen)], 0.005)
    assert {packet.source[0] for packet in six.packets()} == {"::1"}
    assert {packet.source[0] for packet in four.packets()} == {"127.0.0.9"}


def test_identity_is_drawn_at_random(receive):
    with Sender([settings_for(receive()) for _ in range(20)]) as sender:
        assert len({item.ssrc for item in sender.identities}) == 20
        assert len({item.sequence for item in sender.identities}) > 1


def test_expected_covers_audio_and_packets_of_the_time_sent(receive):
    faults = ["loss:at=0.5,packets=2", "slip:at=0.2,frames=48", "click:at=0.9,bit=3"]
    with Sender([settings_for(receive(), faults=[parse_fault(text) for text in faults])]) as sender:
        assert [(str(item.kind), item.start_frame) for item in sender.expected(0, 0.8)] == [
            ("slip", 9600),
            ("gap", 24000),
        ]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"payload_type": 128}, "payload type 128"),
        ({"ssrc": 2**32}, "ssrc 4294967296"),
        ({"sequence": -1}, "sequence -1"),
        ({"packet_time_seconds": 1.0}, "packet time 1 s makes payloads of 288000 bytes"),
        (
            {"signal": Ending(), "packet_time_seconds": 0.011, "last_packet": "drop"},
            "484 frames do not fill a packet of 528",
        ),
        ({"packet_time_seconds": 1e-6}, "payloads of 0 bytes"),
        ({"encoding": L16_MONO, "signal": ToneSignal()}, "48000 Hz and 2 channel.* does not fit L16/8000"),
        ({"destination": Endpoint("127.0.0.1", 5004, "203.0.113.9")}, "127.0.0.1:5004: cannot send from 203.0.113.9"),
        ({"destination": Endpoint("239.0.0.1", 5004, None, "nosuch0")}, "no interface 'nosuch0'"),
    ],
)
def test_what_cannot_be_sent_is_told(options, told):
    with pytest.raises(RequestError, match=told) as error:
        Sender([StreamSettings(**options)])
    assert "\n" not in str(error.value)


def test_a_failure_while_sending_is_told():
    """A broadcast is refused to a socket that did not ask for it, and nothing leaves."""
    streams = [StreamSettings(Endpoint("255.255.255.255", 5004))]
    told = "^255.255.255.255:5004: cannot send: "
    with pytest.raises(SourceError, match=told):
        send(streams)
    sender = Sender(streams)
    sender.start()
    with pytest.raises(SourceError, match=told):
        sender.wait()
    sender.stop()
