"""Run the command line as on a system that has nothing of Linux: ``python -m tests.helpers.elsewhere win32 check …``.

What such a system lacks is hidden before the first module of the package is loaded. The standard library and what the
package depends on have chosen by then, and stay as they are here.
"""

import asyncio
import ctypes
import os
import signal
import socket
import sys
from importlib import import_module

LIBRARIES = (
    "aiohttp.web",
    "asyncio_dgram",
    "click",
    "numpy",
    "pydantic",
    "scipy",
    "soundfile",
    "soxr",
    "structlog",
    "tempfile",
)
MODULES = {"win32": ("fcntl", "grp", "pwd", "resource", "termios", "uvloop"), "darwin": ("uvloop",)}
ATTRIBUTES = {
    "win32": {
        os: (
            "fchmod",
            "fork",
            "geteuid",
            "getuid",
            "killpg",
            "mkfifo",
            "nice",
            "sched_getaffinity",
            "O_NONBLOCK",
            "O_CLOEXEC",
        ),
        signal: ("SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGPIPE", "setitimer", "pthread_sigmask"),
        socket: (
            "AF_PACKET",
            "SO_REUSEPORT",
            "SO_BINDTODEVICE",
            "SOCK_CLOEXEC",
            "SOCK_NONBLOCK",
            "TCP_USER_TIMEOUT",
            "MSG_DONTWAIT",
        ),
    },
    "darwin": {
        os: ("sched_getaffinity",),
        socket: ("AF_PACKET", "SO_BINDTODEVICE", "SOCK_CLOEXEC", "SOCK_NONBLOCK", "TCP_USER_TIMEOUT"),
    },
}


def hide(system: str) -> None:
    """Let this process look like one of another system."""
    for name in LIBRARIES:
        import_module(name)
    for name in MODULES[system]:
        sys.modules[name] = None
    for module, names in ATTRIBUTES[system].items():
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    if system == "win32":
        load = ctypes.CDLL.__init__

        def no_library_without_name(self, name, *more, **options):
            if name is None:
                raise TypeError("LoadLibrary() argument 1 must be str, not None")
            load(self, name, *more, **options)

        def no_signal_handler(*_):
            raise NotImplementedError

        ctypes.CDLL.__init__ = no_library_without_name
        asyncio.SelectorEventLoop.add_signal_handler = no_signal_handler
        asyncio.SelectorEventLoop.remove_signal_handler = no_signal_handler
    sys.platform = system


if __name__ == "__main__":
    hide(sys.argv.pop(1))
    from rtpverify.__main__ import main

    main()
