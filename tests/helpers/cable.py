"""Two network interfaces with a cable between them, to put frames on; in a network of its own where that is needed."""

import ctypes
import itertools
import os
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.helpers.patience import PATIENCE_SECONDS

needs_cable = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None,
    reason="needs root on Linux, and iproute2",
)
_NUMBERS = itertools.count()
_NEW_NETWORK = 0x40000000
"""``CLONE_NEWNET`` of linux/sched.h."""


def ip(*arguments):
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)


class Cable:
    """Two interfaces with a cable between them; frames put in at one end come out at the other."""

    def __init__(self):
        self.end, self.far_end = (f"tap{os.getpid() % 100000}{letter}{next(_NUMBERS)}" for letter in "ab")

    def plug_in(self):
        made = ip("link", "add", self.end, "type", "veth", "peer", "name", self.far_end)
        if made.returncode:
            pytest.skip(f"no veth interfaces here: {made.stderr}")
        for name in (self.end, self.far_end):
            # Without addresses of their own the interfaces are silent.
            ip("link", "set", name, "addrgenmode", "none")
            ip("link", "set", name, "up")
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.bind((self.far_end, 0))

    def put(self, *frames):
        for frame in frames:
            self._socket.send(frame)

    def pull_out(self):
        self._socket.close()
        ip("link", "delete", self.end)


def collect(receiver, count):
    """Return payload and flow of so many datagrams, and of any that came with them."""
    found = []
    give_up = time.monotonic() + PATIENCE_SECONDS
    while len(found) < count and time.monotonic() < give_up:
        batch = receiver.drain()
        if batch is None:
            time.sleep(0.002)
            continue
        for offset, length, flow in zip(batch.offset, batch.length, batch.flow, strict=True):
            found.append((batch.arena[offset : offset + length].tobytes(), batch.flows[flow]))
    assert receiver.drain() is None
    return found


def in_own_network(function):
    """Call a function in a thread whose network is its own: other rings of this host would take its fragments."""

    def alone():
        if ctypes.CDLL(None, use_errno=True).unshare(_NEW_NETWORK) != 0:
            pytest.skip(f"no network namespaces here: {os.strerror(ctypes.get_errno())}")
        return function()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(alone).result(PATIENCE_SECONDS)
