import os
import threading
from pathlib import Path

import pytest

from rtpverify.sources.small_file import MAX_BYTES, read_small


def test_a_file_is_read_whole(tmp_path):
    (tmp_path / "file").write_bytes(b"a\r\n\xff")
    (tmp_path / "link").symlink_to("file")
    assert read_small(tmp_path / "link") == read_small(tmp_path / "file") == b"a\r\n\xff"


@pytest.mark.parametrize("size", [MAX_BYTES, MAX_BYTES + 1, 1 << 40])
def test_no_more_is_read_than_the_bound(tmp_path, size):
    path = tmp_path / "file"
    path.touch()
    os.truncate(path, size)
    if size <= MAX_BYTES:
        assert len(read_small(path)) == size
        return
    for is_patient in (False, True):
        with pytest.raises(OSError, match="larger than 4 MiB"):
            read_small(path, is_patient=is_patient)


def test_who_does_not_wait_takes_no_pipe_and_no_device(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", os.devnull, "/dev/zero"):
        with pytest.raises(OSError, match="not a regular file"):
            read_small(tmp_path / path)
    with pytest.raises(IsADirectoryError):
        read_small(tmp_path)


def test_who_waits_gets_what_a_pipe_gives(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"v=0\n",))
    writer.start()
    assert read_small(pipe, is_patient=True) == b"v=0\n"
    writer.join()


def test_an_endless_device_ends_at_the_bound():
    with pytest.raises(OSError, match="larger than 4 MiB"):
        read_small(Path("/dev/zero"), is_patient=True)
