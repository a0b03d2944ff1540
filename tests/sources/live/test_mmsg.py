import errno
import socket
import sys

import numpy as np
import pytest

from rtpverify.sources.live import mmsg

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


@pytest.mark.skipif(sys.maxsize < 2**32, reason="sizes of 64-bit Linux")
def test_layouts_are_those_of_the_c_library():
    assert mmsg.IOVEC.itemsize == 16
    assert mmsg.MESSAGE.itemsize == 64
    assert mmsg.MESSAGE.fields["length"][1] == 56


def test_parts_are_gathered_and_received():
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, two:
        data = np.frombuffer(b"headpayload", np.uint8)
        messages, buffers = mmsg.messages(2, 2)
        buffers["base"][:] = [data.ctypes.data, data.ctypes.data + 4]
        buffers["length"] = [[4, 7], [2, 1]]
        assert mmsg.send(one.fileno(), messages.ctypes.data, 2) == 2
        arena = np.zeros((3, 32), np.uint8)
        messages, buffers = mmsg.messages(3)
        buffers["base"][:, 0] = mmsg.addresses(arena)
        buffers["length"] = 32
        assert mmsg.receive(two.fileno(), messages.ctypes.data, 3) == 2
        assert messages["length"].tolist() == [11, 3, 0]
        assert arena[0, :11].tobytes() == b"headpayload"
        assert arena[1, :3].tobytes() == b"hep"
        assert mmsg.receive(two.fileno(), messages.ctypes.data, 3) == 0


@pytest.mark.parametrize("call", [mmsg.receive, mmsg.send])
def test_errors_of_the_kernel_are_raised(call):
    messages, _ = mmsg.messages(1)
    with pytest.raises(OSError, match="Bad file descriptor") as error:
        call(-1, messages.ctypes.data, 1)
    assert error.value.errno == errno.EBADF
