"""What is seen in a folder of session descriptions, look by look."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rtpverify.daemon.configuration import parse_config
from rtpverify.daemon.streams.sdp_folder import FolderTable, SdpFolder
from rtpverify.errors import ConfigurationError
from tests.daemon.test_reload import sdp


def table(path: Path, **values: object) -> FolderTable:
    return FolderTable.model_validate({"path": str(path), "reference": "tone:1283", **values})


def names(folder: SdpFolder, *, at_once: bool = False) -> list[str]:
    return [stream.name for streams in folder.look(at_once=at_once).streams.values() for stream in streams]


def test_a_file_is_taken_once_it_stays_the_same(tmp_path: Path) -> None:
    folder = SdpFolder(table(tmp_path))
    path = tmp_path / "a.sdp"
    path.write_text("v=0\n")
    assert (names(folder), folder.look().mistakes == ()) == ([], False)
    path.write_text(sdp(5004))
    os.utime(path, ns=(1, 1))
    assert names(folder) == []
    path.write_text(sdp(5006))
    os.utime(path, ns=(2, 2))
    assert names(folder) == []
    look = folder.look()
    assert [stream.endpoints[0].port for streams in look.streams.values() for stream in streams] == [5006]
    assert look.mistakes == ()


def test_names_are_those_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "desk 1.sdp").write_text(sdp(5004))
    (tmp_path / "both.sdp").write_text(sdp(5006) + sdp(5008).partition("t=0 0\n")[2])
    (tmp_path / "…sdp.sdp").write_text(sdp(5010))
    assert names(SdpFolder(table(tmp_path)), at_once=True) == ["both-1", "both-2", "desk-1", "sdp"]


def test_what_the_table_expects_holds_for_every_stream(tmp_path: Path) -> None:
    (tmp_path / "a.sdp").write_text(sdp(5004))
    folder = SdpFolder(table(tmp_path, interface="lo", profile="analog", limits={"max_late": 3}, pattern="a.*"))
    ((stream,),) = folder.look(at_once=True).streams.values()
    assert (stream.endpoints[0].interface, stream.spec.limits.max_late) == ("lo", 3)
    assert stream.spec.limits.max_level_change_db == 0.1
    assert stream.spec.encodings[97].name == "L24"


@pytest.mark.parametrize("text", ["", "v=0\n", sdp(5004, "L24/48000/2").replace("c=IN IP4 127.0.0.1\n", "")])
def test_a_file_that_is_wrong_is_told_and_leaves_the_others(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.sdp").write_text(text)
    (tmp_path / "b.sdp").write_text(sdp(5006))
    look = SdpFolder(table(tmp_path)).look(at_once=True)
    assert [Path(path).name for path, streams in look.streams.items() if streams] == ["b.sdp"]
    (mistake,) = look.mistakes
    assert mistake.startswith(str(tmp_path / "a.sdp"))


def test_a_file_that_gets_wrong_keeps_its_stream_until_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "a.sdp"
    path.write_text(sdp(5004))
    folder = SdpFolder(table(tmp_path))
    assert names(folder, at_once=True) == ["a"]
    path.write_text("wrong")
    assert names(folder) == ["a"]
    look = folder.look()
    assert [len(streams) for streams in look.streams.values()] == [1]
    assert len(look.mistakes) == 1
    path.unlink()
    look = folder.look()
    assert (look.streams, look.mistakes) == ({}, ())


def test_a_reference_that_cannot_hold_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.sdp").write_text(sdp(5004))
    (mistake,) = SdpFolder(table(tmp_path, reference="tone:30000")).look(at_once=True).mistakes
    assert mistake.startswith(f"{tmp_path / 'a.sdp'}: ")
    assert "not below half the sample rate" in mistake


def test_no_more_streams_than_allowed(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.sdp").write_text(sdp(5004 + 2 * number))
    look = SdpFolder(table(tmp_path, max_streams=2)).look(at_once=True)
    assert len(look.streams) == 2
    assert look.mistakes == (f"{tmp_path / '2.sdp'}: has 1 streams, 0 of max_streams are left",)


def test_a_folder_that_is_gone_keeps_its_streams(tmp_path: Path) -> None:
    path = tmp_path / "streams"
    path.mkdir()
    (path / "a.sdp").write_text(sdp(5004))
    folder = SdpFolder(table(path))
    assert names(folder, at_once=True) == ["a"]
    path.rename(tmp_path / "away")
    look = folder.look()
    assert len(look.streams) == 1
    assert look.mistakes == (f"{path}: No such file or directory; its streams are kept",)
    (tmp_path / "away").rename(path)
    assert names(folder) == ["a"]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ('[[folder]]\npath = "x"\nreference = "none"', ':2: folder[1].path = "x": there is no such folder'),
        ('[[folder]]\npath = "c.toml"\nreference = "none"', ':2: folder[1].path = "c.toml": is no folder'),
        ('[[folder]]\npath = "."\n', ":1: folder[1].reference: is missing"),
        ('[[folder]]\npath = "."\nreference = "none"\nlimits.max_x = 1', ":4: folder[1].limits.max_x = 1: unknown"),
        ('[folder]\npath = "."\n', ":1: folder: is not a list of tables [[folder]]"),
    ],
)
def test_mistakes_of_the_table_name_the_place(tmp_path: Path, text: str, mistake: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        parse_config(text, path)
    assert str(caught.value).startswith(f"{path}{mistake}")
