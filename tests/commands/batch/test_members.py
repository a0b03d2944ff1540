"""Which files patterns name."""

from pathlib import Path

import pytest

from rtpverify.commands.batch.members import Member, at_hand, find_members
from rtpverify.errors import RequestError, SourceError


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.wav", "b[1].wav", "deep/c.wav", "deep/er/d.pcap", "deep/.hidden", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def names(tree, *patterns):
    return [str(Path(member.address).relative_to(tree)) for member in find_members(patterns)]


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["a.wav"], ["a.wav"]),
        (["*.wav"], ["a.wav", "b[1].wav"]),
        (["b[1].wav"], ["b[1].wav"]),
        (["**/*.wav"], ["a.wav", "b[1].wav", "deep/c.wav"]),
        (["deep"], ["deep/c.wav", "deep/er/d.pcap"]),
        (["deep/.hidden"], ["deep/.hidden"]),
        (["*.wav", "a.wav", "deep/*"], ["a.wav", "b[1].wav", "deep/c.wav"]),
        (["nothing*"], []),
        (["missing.wav"], []),
    ],
)
def test_patterns(tree, patterns, found):
    assert names(tree, *patterns) == found
    assert names(tree, *(str(tree / pattern) for pattern in patterns)) == found


def test_size_and_change(tree):
    [before] = find_members(["a.wav"])
    assert before.size_bytes == 5
    (tree / "a.wav").write_text("other")
    [after] = find_members(["a.wav"])
    assert before.address == after.address
    assert before.version != after.version


def test_a_link_to_nothing_is_a_member(tree):
    (tree / "gone.wav").symlink_to(tree / "nowhere")
    assert "gone.wav" in names(tree, "*.wav")


def test_a_store():
    pytest.importorskip("fsspec").filesystem("memory").pipe({"/box/one.wav": b"1", "/box/deep/two.wav": b"22"})
    assert [m.size_bytes for m in find_members(["memory://box/*.wav"])] == [1]
    both = find_members(["memory://box"])
    assert [m.size_bytes for m in both] == [2, 1]
    with at_hand(both[0]) as path:
        assert path.name == "two.wav"
        assert path.read_bytes() == b"22"
    assert not path.exists()


def test_a_store_that_nobody_knows():
    with pytest.raises(RequestError, match="nonsense://box/"):
        find_members(["nonsense://box/*"])


def test_what_is_gone_from_a_store():
    pytest.importorskip("fsspec")
    with pytest.raises(SourceError, match="memory://box/gone"), at_hand(Member("memory://box/gone")):
        pass
