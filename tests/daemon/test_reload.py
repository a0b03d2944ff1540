"""A daemon whose configuration, folders and sinks change while streams run."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
import soundfile

from rtpverify.daemon import service as module
from rtpverify.daemon import supervisor
from rtpverify.daemon.reload import ConfigurationFiles
from rtpverify.rtp.batch import PacketBatch
from rtpverify.sender.rtp_sender import Sender, StreamSettings
from rtpverify.sources.live.endpoint import Endpoint
from rtpverify.sources.live.recvmmsg import UdpReceiver
from rtpverify.transport import demux
from tests.daemon.beside import free_ports, running, sending
from tests.helpers.programme import music

pytestmark = pytest.mark.usefixtures("quick")
HEAD = '[metrics]\nlisten = "127.0.0.1:0"\n[log]\nstate_seconds = 3600\n'


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at files often, and measure often."""
    monkeypatch.setattr(supervisor, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(module, "REFRESH_NS", 100_000_000)


def stream(name: str, port: int, more: str = "") -> str:
    """Return a table; a busy machine may hold the sender up without harm."""
    return (
        f'[[stream]]\nname = "{name}"\nsource = "rtp://127.0.0.1:{port}"\n'
        f'encoding = "L24/48000/2"\nreference = "tone:1283"\nlimits.max_stall_seconds = 60\n{more}\n'
    )


def sdp(port: int, encoding: str = "L24/48000/2") -> str:
    return (
        "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=x\nt=0 0\n"
        f"m=audio {port} RTP/AVP 97\nc=IN IP4 127.0.0.1\na=rtpmap:97 {encoding}\n"
    )


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What each look at the files of a configuration found, as they come: whether something has changed."""
    original, found = ConfigurationFiles.have_changed, []

    def have_changed(files: ConfigurationFiles) -> bool:
        found.append(original(files))
        return found[-1]

    monkeypatch.setattr(ConfigurationFiles, "have_changed", have_changed)
    return found


async def done(sender: Sender) -> None:
    while not await asyncio.to_thread(sender.wait, 0.1):
        pass


async def test_streams_that_did_not_change_lose_nothing(tmp_path: Path) -> None:
    stays, goes, comes, changes = free_ports(4)
    before = HEAD + stream("stays", stays) + stream("goes", goes) + stream("changes", changes)
    after = HEAD + stream("changes", changes, 'profile = "analog"') + stream("comes", comes) + stream("stays", stays)
    async with running(tmp_path / "bench.toml", before) as bench:
        with sending(stays, goes, changes, comes, seconds=60):
            await bench.until(lambda: bench.packets("stays") > 300 and bench.packets("changes") > 300)
            identity = next(one for one in bench.service.verifier.streams if one.name == "stays")
            counted = bench.packets("changes")
            for turn in range(5):
                await bench.reload(after if turn % 2 == 0 else before)
                assert bench.packets("changes") >= counted
                assert ("goes" in bench.service.states) == (turn % 2 == 1)
            seen = bench.packets("stays")
            await bench.until(lambda: bench.packets("stays") > seen + 300 and bench.packets("comes") > 100)
        assert next(one for one in bench.service.verifier.streams if one.name == "stays") is identity
        assert bench.packets("changes") > counted
        assert sorted(bench.service.states) == ["changes", "comes", "stays"]
        assert bench.service.snapshot.receive_buffer_dropped == 0
    assert bench.result is not None
    (result,) = (one for one in bench.result.streams if one.destination == f"127.0.0.1:{stays}")
    transport = result.transport
    assert transport is not None
    assert transport.packets_lost == 0
    assert transport.packets_received == transport.packets_expected > seen + 300
    assert result.events == []
    taken = bench.told("configuration applied")
    assert (taken[0]["added"], taken[0]["changed"], taken[0]["removed"]) == (["comes"], ["changes"], ["goes"])
    assert [line["stream"] for line in bench.told("no longer monitored")][:2] == ["goes", "comes"]


@pytest.mark.parametrize(
    ("broken", "reasons"),
    [
        ("[[stream]\n", ["not TOML"]),
        (
            stream("b", 5004, "wrong = 1") + "[receive]\ntick_seconds = 3",
            ["stream[2].wrong = 1", "receive.tick_seconds = 3"],
        ),
        (None, ["No such file"]),
        ("TAKEN", ["is in use"]),
        ('[metrics]\nlisten = "127.0.0.1:TCP"\n', ["Address already in use"]),
    ],
)
async def test_a_bad_one_changes_nothing_and_is_told(
    tmp_path: Path, broken: str | None, reasons: list[str], looks: list[bool]
) -> None:
    port, other = free_ports(2)
    good = HEAD + stream("a", port)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        taken.bind(("127.0.0.1", 0))
        async with running(tmp_path / "bench.toml", good) as bench:
            await bench.until(lambda: bench.service.unready() == [])
            loaded_at = bench.service.snapshot.last_reload_seconds
            assert loaded_at is not None
            sinks = dict(bench.service.sinks)
            if broken is None:
                bench.path.unlink()
            elif broken == "TAKEN":
                bench.write(good + stream("b", taken.getsockname()[1]))
            elif "TCP" in broken:
                bench.write(stream("b", other) + broken.replace("TCP", str(server.getsockname()[1])))
            else:
                bench.write(good + broken)
            await bench.until(lambda: bench.told("configuration not"))
            seen = len(looks)
            await bench.until(lambda: len(looks) > seen + 3)
            lines = bench.told("configuration not")
            assert len(lines) == len(reasons)
            for line, reason in zip(lines, reasons, strict=True):
                assert reason in line["reason"]
                assert line["level"] == "error"
            assert not bench.service.snapshot.last_reload_successful
            assert bench.service.snapshot.last_reload_seconds == loaded_at
            assert list(bench.service.states) == ["a"]
            assert bench.service.sinks.keys() == sinks.keys()
            with sending(port, seconds=0.2) as sender:
                await done(sender)
            await bench.until(lambda: bench.packets("a") == 200)
            assert bench.service.unready() == []
            await bench.reload(good + "\n")
            assert bench.service.snapshot.last_reload_successful
            assert bench.service.snapshot.last_reload_seconds > loaded_at


async def test_sections_of_sinks_and_of_the_log_change_too(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    text = HEAD + stream("a", port)
    async with running(tmp_path / "bench.toml", text) as bench:
        url = bench.service.metrics_url
        await bench.reload(text.replace("3600", "0.2"))
        assert bench.service.metrics_url == url
        await bench.until(lambda: bench.told("state"))
        await bench.reload('[receive]\ntick_seconds = 0.02\n[history]\npath = "events.sqlite"\n' + text)
        assert bench.told("takes effect at the next start")[0]["changed"] == ["receive"]
        assert list(bench.service.sinks) == ["metrics", "history"]
        assert (tmp_path / "events.sqlite").exists()
        await bench.reload(text)
        assert list(bench.service.sinks) == ["metrics"]


async def test_files_of_a_folder_are_followed_as_they_come_change_and_go(tmp_path: Path) -> None:
    first, second, third = free_ports(3)
    folder = tmp_path / "streams"
    folder.mkdir()
    (folder / "desk 1.sdp").write_text(sdp(first))
    (folder / "readme.txt").write_text("no session description")
    text = HEAD + '[[folder]]\npath = "streams"\nreference = "tone:1283"\n'
    async with running(tmp_path / "bench.toml", text) as bench:
        states, verifier = bench.service.states, bench.service.verifier
        assert list(states) == ["desk-1"]
        with sending(first, second, third, seconds=60):
            await bench.until(lambda: bench.packets("desk-1") > 100)
            (identity,) = verifier.streams
            (folder / "desk2.sdp").write_text(sdp(second))
            await bench.until(lambda: "desk2" in states and bench.packets("desk2") > 100)
            (folder / "desk2.sdp").write_text(sdp(third))
            await bench.until(lambda: str(third) in [one.flow.destination[-5:] for one in verifier.streams])
            (folder / "desk2.sdp").write_text("v=0\ns=half")
            await bench.until(lambda: bench.told("not monitored"))
            assert "desk2" in states
            await bench.until(lambda: bench.service.snapshot.sources_refused == 1)
            (folder / "desk2.sdp").unlink()
            await bench.until(lambda: "desk2" not in states)
            (folder / "same.sdp").write_text(sdp(first))
            await bench.until(lambda: len(bench.told("not monitored")) == 2)
            assert "takes packets of desk-1 of" in bench.told("not monitored")[1]["reason"]
            (folder / "desk 1.sdp").unlink()
            await bench.until(lambda: list(states) == ["same"])
            (folder / "same.sdp").rename(folder / "desk 1.sdp")
            await bench.until(lambda: list(states) == ["desk-1"])
            await bench.until(lambda: bench.service.snapshot.sources_refused == 0)
            await bench.until(lambda: bench.packets("desk-1") > 100)
        assert all(one is not identity for one in verifier.streams)
        (folder / "desk 1.sdp").rename(tmp_path / "desk 1.sdp")
        folder.rename(tmp_path / "away")
        await bench.until(lambda: len(bench.told("not monitored")) == 3)
        assert "No such file" in bench.told("not monitored")[2]["reason"]
        await bench.reload(text + "\n# the folder is still away\n")
        assert bench.told("configuration not applied")[0]["reason"].endswith("there is no such folder")
        assert list(states) == ["desk-1"]


async def test_lines_of_a_description_that_cannot_be_read_are_logged_once(tmp_path: Path) -> None:
    first, second = free_ports(2)
    (tmp_path / "streams").mkdir()
    text = sdp(first) + sdp(second).partition("t=0 0\n")[2]
    text += "a=framecount:48-768\na=ptime:soon\nm=video 0 what\na=ptime:0\n"
    (tmp_path / "streams" / "a.sdp").write_text(text)
    configuration = HEAD + '[[folder]]\npath = "streams"\nreference = "tone:1283"\n'
    async with running(tmp_path / "bench.toml", configuration) as bench:
        found = [line["reason"] for line in bench.told("session description")]
        [reason] = [reason.partition("a.sdp:")[2] for reason in found]
        assert reason.startswith(f"{text.splitlines().index('a=ptime:soon') + 1}: a=ptime: 'soon' is not a packet time")
        assert sorted(bench.service.states) == ["a-1", "a-2"]


async def test_a_folder_that_is_no_longer_named_takes_its_streams_along(tmp_path: Path) -> None:
    first, second = free_ports(2)
    (tmp_path / "a.sdp").write_text(sdp(first) + sdp(second).partition("t=0 0\n")[2])
    text = HEAD + '[[folder]]\npath = "."\nreference = "tone"\n'
    async with running(tmp_path / "bench.toml", text) as bench:
        assert list(bench.service.states) == ["a-1", "a-2"]
        await bench.reload(HEAD + stream("b", first))
        assert list(bench.service.states) == ["b"]
        await bench.reload(text)
        await bench.until(lambda: list(bench.service.states) == ["a-1", "a-2"])
        assert "a-1" not in str(bench.told("not monitored"))


async def test_a_session_description_that_a_stream_names_is_looked_at_too(tmp_path: Path) -> None:
    first, second = free_ports(2)
    (tmp_path / "a.sdp").write_text(sdp(first))
    text = HEAD + '[[stream]]\nname = "a"\nsdp = "a.sdp"\nreference = "tone:1283"\n'
    async with running(tmp_path / "bench.toml", text) as bench:
        (tmp_path / "a.sdp").write_text(sdp(second))
        await bench.until(lambda: bench.told("configuration applied"))
        (followed,) = bench.service.roster
        assert followed.endpoints[0].port == second


async def test_a_recording_that_a_stream_is_held_against_is_looked_at_too(tmp_path: Path) -> None:
    ports = free_ports(2)
    for name, seed in (("music", 1), ("other", 2)):
        soundfile.write(tmp_path / f"{name}.wav", music(2, seed=seed), 48000)
    tables = [stream("a", ports[0]).replace("tone:1283", "music.wav"), stream("b", ports[1])]
    async with running(tmp_path / "bench.toml", HEAD + "".join(tables)) as bench:
        (tmp_path / "other.wav").replace(tmp_path / "music.wav")
        await bench.until(lambda: bench.told("configuration applied"))
        assert bench.told("configuration applied")[0]["changed"] == ["a"]
        # One that is gone changes nothing.
        (tmp_path / "music.wav").unlink()
        await bench.until(lambda: bench.told("configuration not applied"))
        assert [followed.name for followed in bench.service.roster] == ["a", "b"]


async def test_being_asked_reads_a_configuration_that_did_not_change(tmp_path: Path, looks: list[bool]) -> None:
    (port,) = free_ports(1)
    async with running(tmp_path / "bench.toml", HEAD + stream("a", port)) as bench:
        await bench.until(lambda: len(looks) > 3)
        assert not bench.told("configuration")
        bench.service.ask_reload()
        await bench.until(lambda: bench.told("configuration applied"))
        line = bench.told("configuration applied")[0]
        assert (line["added"], line["changed"], line["removed"]) == ([], [], [])


async def test_a_sender_is_heard_however_many_others_were_there_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MANY_FLOWS", 20)
    monkeypatch.setattr(demux, "RECENT_NS", 0)
    drain, receivers = UdpReceiver.drain, set()

    def noted(receiver: UdpReceiver) -> PacketBatch | None:
        receivers.add(receiver)
        return drain(receiver)

    monkeypatch.setattr(UdpReceiver, "drain", noted)
    first, second = free_ports(2)
    async with running(tmp_path / "bench.toml", HEAD + stream("a", first) + stream("b", second)) as bench:
        with sending(first, seconds=1) as sender:
            await bench.until(lambda: bench.packets("a") > 100)
            for _ in range(3):
                for _ in range(15):
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                        stranger.sendto(b"\x80" + bytes(50), ("127.0.0.1", second))
                await asyncio.sleep(0.2)
            await done(sender)
        with sending(second, seconds=0.3) as sender:
            await done(sender)
        await bench.until(lambda: (bench.packets("a"), bench.packets("b")) == (1000, 300))
        (receiver,) = receivers
        assert len(receiver.flows) <= 30
    assert bench.result is not None
    assert all(one.events == [] for one in bench.result.streams)


async def test_a_sender_that_was_many_others_before_costs_no_more_and_loses_no_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SPARE_IDENTITIES", 2)
    monkeypatch.setattr(module, "IDLE_NS", 300_000_000)
    (port,) = free_ports(1)
    async with running(tmp_path / "bench.toml", HEAD + stream("a", port)) as bench:
        for number in range(6):
            # Another payload type each time: no sender can go on in the place of the one before.
            settings = StreamSettings(Endpoint("127.0.0.1", port), ssrc=number, payload_type=97 + number)
            with Sender([settings], duration_seconds=0.3) as sender:
                sender.start()
                await done(sender)
        await bench.until(lambda: bench.packets("a") == 1800 and len(bench.service.verifier.streams) <= 3)
        assert bench.service.states["a"].snapshot.packets["lost"] == 0
