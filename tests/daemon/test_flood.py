"""What strangers send costs bounded memory and opens no metric series."""

import socket
import struct
import tracemalloc

import numpy as np
import pytest

from rtpverify.daemon import service
from rtpverify.daemon.metrics import Exposition, Snapshot
from rtpverify.daemon.streams.state import StreamState
from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.verifier import Verifier
from rtpverify.reference import Tone
from rtpverify.rtp.batch import Flow, PacketBatch
from rtpverify.rtp.payload import parse_rtpmap
from rtpverify.transport.places import RESERVED
from tests.daemon.beside import free_ports, running

FLOWS = [Flow(f"192.0.2.{host}:5004", "239.1.2.3:5004") for host in range(1, 101)]


def batch_of(datagrams, flows, first_ns):
    length = np.array([len(datagram) for datagram in datagrams], np.int64)
    arrival_ns = first_ns + 1_000_000 * np.arange(len(datagrams))
    arena = np.frombuffer(b"".join(datagrams), np.uint8)
    return PacketBatch(arena, np.cumsum(length) - length, length, arrival_ns, np.array(flows), FLOWS)


def unknown_sources(rng, _index):
    return [(rng.integers(2**32), rng.integers(2**16), rng.integers(2**32), rng.integers(100)) for _ in range(500)]


def pairs_of_packets(_rng, index):
    """Sources that prove themselves, one after the other, in the place of each other."""
    return [(500 * index + n // 2, n % 2, 48 * (n % 2), 0) for n in range(500)]


def absurd_timestamps(rng, index):
    """One source whose timestamp jumps with every other packet."""
    return [(7, 500 * index + n, int(rng.integers(2**32)) if n % 2 else 48 * n, 0) for n in range(500)]


def jumps(rng, index):
    """One source whose timestamps jump every three packets, each time borne out."""
    start = [int(rng.integers(2**32)) for _ in range(167)]
    return [(7, 500 * index + n, start[n // 3] + 48 * (n % 3), 0) for n in range(500)]


def payload_types(_rng, index):
    """One source that goes on in another encoding with every packet."""
    return [(7, 60 * index + n, 48 * (60 * index + n), 0, (97, 98, 0, 100)[n % 4]) for n in range(60)]


def lengths(rng, index):
    """One source whose packets are each of another length."""
    return [(7, 90 * index + n, 48 * (90 * index + n), 0, 97 + n % 2, int(rng.integers(1400))) for n in range(90)]


@pytest.mark.parametrize("flood", [unknown_sources, pairs_of_packets, absurd_timestamps, jumps, payload_types, lengths])
def test_a_flood(flood, monkeypatch):
    monkeypatch.setattr("rtpverify.engine.stream.MAX_EVENTS", 500)
    rng = np.random.default_rng(1)
    encodings = {98: parse_rtpmap("L16/48000/2")}
    spec = StreamSpec("one", encoding=parse_rtpmap("L24/48000/2"), encodings=encodings, reference=Tone((997.0,)))
    verifier, state, known = Verifier([spec], max_streams=4), StreamState(spec), 0
    exposition = Exposition(lambda: Snapshot((state.snapshot,), verifier.discarded))
    series, sizes = set(), []
    tracemalloc.start()
    for index in range(16):
        sent = flood(rng, index)
        datagrams = [
            struct.pack(">BBHII", 0x80, *(more[:1] or [97]), int(number) % 2**16, int(at) % 2**32, int(ssrc))
            + bytes(*(more[1:] or [288]))
            for ssrc, number, at, _, *more in sent
        ]
        flows = [int(flow) for _, _, _, flow, *_ in sent]
        for told in verifier.feed(batch_of(datagrams, flows, 10**18 + 10**9 * index)):
            state.count(told)
        for stream in verifier.streams[known:]:
            state.add(stream)
        known = len(verifier.streams)
        state.refresh(verifier, 10**18 + 10**9 * index)
        text = exposition.render().decode()
        series.add(frozenset(line.rpartition(" ")[0] for line in text.splitlines() if 'stream="' in line))
        sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    labels = {line for lines in series for line in lines}
    assert all('stream="one"' in line for line in labels)
    assert len(labels) < 200
    assert known <= 4 + RESERVED
    assert max(sizes[8:]) < 1.2 * max(sizes[:8]) + 2_000_000


async def test_strangers_at_one_port_cost_a_stream_at_another_nothing(tmp_path, monkeypatch):
    """300 SSRCs come to one port before anything comes to another; then both senders that are expected do."""
    monkeypatch.setattr(service, "REFRESH_NS", 100_000_000)
    flooded, quiet = free_ports(2)
    table = '[[stream]]\nname = "{}"\nsource = "rtp://127.0.0.1:{}"\nencoding = "L16/8000"\nreference = "none"\n'
    text = '[metrics]\nlisten = "127.0.0.1:0"\n' + table.format("flooded", flooded) + table.format("quiet", quiet)
    async with running(tmp_path / "bench.toml", text) as bench:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as strangers:
            strangers.bind(("127.0.0.9", 0))
            for sequence in range(12):
                for ssrc in range(300):
                    header = struct.pack(">BBHII", 0x80, 97, sequence, 8 * sequence, ssrc)
                    strangers.sendto(header + bytes(16), ("127.0.0.1", flooded))
                await bench.until(lambda: bench.service.statistics.datagrams == 300 * (sequence + 1))  # noqa: B023
        await bench.until(lambda: bench.told("streams refused"))
        for port, name in ((quiet, "quiet"), (flooded, "flooded")):
            before = bench.packets(name)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.bind(("127.0.0.1", 0))
                for sequence in range(500):
                    header = struct.pack(">BBHII", 0x80, 97, sequence, 8 * sequence, 0x5EED0001)
                    sender.sendto(header + bytes(16), ("127.0.0.1", port))
            await bench.until(lambda: bench.packets(name) == before + 500)  # noqa: B023
        # One reserved place, and 256 others.
        assert sum(line["streams"] for line in bench.told("streams refused")) == 300 - 257
        assert {line["stream"] for line in bench.told("streams refused")} == {"flooded"}
        assert bench.service.snapshot.streams_refused == {"flooded": 300 - 257}
        assert bench.packets("flooded") == 257 * 12 + 500
        assert bench.service.verifier.discarded == {"too_many_streams": (300 - 257) * 12}
        assert len(bench.service.verifier.streams) == 257 + 2
