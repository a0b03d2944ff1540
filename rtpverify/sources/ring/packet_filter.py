"""What the kernel passes to a ring: classic BPF programs (linux/filter.h)."""

from __future__ import annotations

import ctypes
import ctypes.util
import socket
import struct
from collections.abc import Iterable
from functools import lru_cache

from rtpverify.errors import SourceError

_INSTRUCTION = struct.Struct("=HBBI")
"""``struct sock_filter``: operation, jump where true, jump where false, operand."""
_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE = 0x20, 0x28, 0x30
_LOAD_HEADER_LENGTH, _LOAD_HALF_BEYOND = 0xB1, 0x48
"""The length of an IPv4 header into the index register, and a load from an offset that it is added to."""
_JUMP, _JUMP_EQUAL, _RETURN = 0x05, 0x15, 0x06
_PROTOCOL = 0xFFFFF000
"""Offset at which a load gives the network protocol, whatever the link layer is (``SKF_AD_OFF + SKF_AD_PROTOCOL``)."""
_PACKET_TYPE, _HARDWARE = 0xFFFFF004, 0xFFFFF01C
"""The same of whose packet it is (``PACKET_OUTGOING``), and what link layer the interface has (``ARPHRD_LOOPBACK``)."""
_OUTGOING, _LOOPBACK = 4, 772
_NETWORK = 0xFFF00000
"""Offsets from here on count from the network header (``SKF_NET_OFF``)."""
_IPV4, _IPV6, _VLAN, _SERVICE_VLAN, _OLD_SERVICE_VLAN = 0x0800, 0x86DD, 0x8100, 0x88A8, 0x9100
_IPV4_PROTOCOL_AT, _IPV6_NEXT_HEADER_AT, _IPV6_HEADER_BYTES, _UDP = 9, 6, 40, 17
_PORT_AT = 2
"""The destination port in a UDP header."""
_WHOLE = 0xFFFFFFFF
_SO_ATTACH_FILTER = 26
_ETHERNET = 1


def udp_program() -> bytes:
    """Return a program that passes UDP in IPv4, also fragments of it, and all of IPv6 and of tagged frames.

    Returns
    -------
    bytes
        Instructions of classic BPF, as the kernel takes them.
    """
    others = (_IPV6, _VLAN, _SERVICE_VLAN)
    program = [
        (_LOAD_WORD, 0, 0, _PROTOCOL),
        (_JUMP_EQUAL, len(others) + 1, 0, _IPV4),
        *((_JUMP_EQUAL, len(others) - at + 3, 0, other) for at, other in enumerate(others)),
        (_JUMP_EQUAL, 3, 2, _OLD_SERVICE_VLAN),
        (_LOAD_BYTE, 0, 0, _NETWORK + _IPV4_PROTOCOL_AT),
        (_JUMP_EQUAL, 1, 0, _UDP),
        (_RETURN, 0, 0, 0),
        (_RETURN, 0, 0, _WHOLE),
    ]
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)


def ports_program(ports: Iterable[int]) -> bytes:
    """Return a program that passes UDP to certain ports, and of IPv6 also what has extension headers.

    What leaves by the loopback interface comes in by it, and is passed once.

    Parameters
    ----------
    ports
        Destination ports; the kernel takes programs of 4,096 instructions, two for each port.

    Returns
    -------
    bytes
        Instructions of classic BPF, as the kernel takes them.
    """
    of_ipv6 = [
        (_LOAD_BYTE, 0, 0, _NETWORK + _IPV6_NEXT_HEADER_AT),
        (_JUMP_EQUAL, 1, 0, _UDP),
        (_RETURN, 0, 0, _WHOLE),
        (_LOAD_HALF, 0, 0, _NETWORK + _IPV6_HEADER_BYTES + _PORT_AT),
    ]
    of_ipv4 = [
        (_JUMP_EQUAL, 1, 0, _IPV4),
        (_RETURN, 0, 0, 0),
        (_LOAD_BYTE, 0, 0, _NETWORK + _IPV4_PROTOCOL_AT),
        (_JUMP_EQUAL, 1, 0, _UDP),
        (_RETURN, 0, 0, 0),
        (_LOAD_HEADER_LENGTH, 0, 0, _NETWORK),
        (_LOAD_HALF_BEYOND, 0, 0, _NETWORK + _PORT_AT),
    ]
    program = [
        (_LOAD_WORD, 0, 0, _PACKET_TYPE),
        (_JUMP_EQUAL, 0, 3, _OUTGOING),
        (_LOAD_WORD, 0, 0, _HARDWARE),
        (_JUMP_EQUAL, 0, 1, _LOOPBACK),
        (_RETURN, 0, 0, 0),
        (_LOAD_WORD, 0, 0, _PROTOCOL),
        (_JUMP_EQUAL, 0, len(of_ipv6) + 1, _IPV6),
        *of_ipv6,
        (_JUMP, 0, 0, len(of_ipv4)),
        *of_ipv4,
    ]
    for port in sorted(set(ports)):
        program += [(_JUMP_EQUAL, 0, 1, port), (_RETURN, 0, 0, _WHOLE)]
    program.append((_RETURN, 0, 0, 0))
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)


def nothing_program() -> bytes:
    """Return a program that passes nothing.

    Returns
    -------
    bytes
        Instructions of classic BPF, as the kernel takes them.
    """
    return _INSTRUCTION.pack(_RETURN, 0, 0, 0)


def attach(sock: socket.socket, program: bytes) -> None:
    """Let a socket take only what a program passes, at once, in place of the one before.

    Parameters
    ----------
    sock
        A packet or UDP socket.
    program
        Instructions of classic BPF.
    """
    code = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("@HP", len(program) // _INSTRUCTION.size, ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)


def compiled(expression: str) -> bytes:
    """Return the program of an expression of pcap-filter(7), for Ethernet frames, as libpcap compiles it.

    Parameters
    ----------
    expression
        Such as ``udp and net 239.0.0.0/8``.

    Returns
    -------
    bytes
        Instructions of classic BPF, as the kernel takes them.

    Raises
    ------
    SourceError
        Where the expression is wrong, or libpcap is not installed.
    """

    class Program(ctypes.Structure):
        """``struct bpf_program``."""

        _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.c_void_p))

    library = _libpcap()
    handle = library.pcap_open_dead(_ETHERNET, 65535)
    program = Program()
    try:
        if library.pcap_compile(handle, ctypes.byref(program), expression.encode(), 1, _WHOLE) != 0:
            reason = library.pcap_geterr(handle).decode(errors="replace")
            raise SourceError(f"filter {expression!r}: {reason}")
        found = ctypes.string_at(program.instructions or 0, program.length * _INSTRUCTION.size)
        library.pcap_freecode(ctypes.byref(program))
    finally:
        library.pcap_close(handle)
    return found


@lru_cache(maxsize=1)
def _libpcap() -> ctypes.CDLL:
    name = ctypes.util.find_library("pcap") or "libpcap.so.1"
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        raise SourceError(f"a filter needs libpcap (Debian: apt-get install libpcap0.8): {error}") from error
    library.pcap_open_dead.restype = ctypes.c_void_p
    library.pcap_compile.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint32)
    library.pcap_geterr.argtypes = (ctypes.c_void_p,)
    library.pcap_geterr.restype = ctypes.c_char_p
    library.pcap_freecode.argtypes = (ctypes.c_void_p,)
    library.pcap_close.argtypes = (ctypes.c_void_p,)
    return library
