"""Session announcements, written field by field from RFC 2974."""

import struct
import zlib
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.rtp.sap import MAX_TEXT_BYTES, Message, SessionDirectory, group_for, parse_sap, write_sap

SDP = (
    "v=0\r\no=- {session} {version} IN IP4 192.0.2.7\r\ns={name}\r\nc=IN IP4 239.1.2.3/32\r\nt=0 0\r\n"
    "m=audio 5004 RTP/AVP 97\r\na=rtpmap:97 L24/48000/2\r\n"
)


def sdp(name="tone", session=1, version=1):
    return SDP.format(name=name, session=session, version=version).encode()


def sap(
    payload=None,
    *,
    version=1,
    origin="192.0.2.7",
    deletes=False,
    encrypted=False,
    compressed=False,
    authentication=b"",
    identifier=0x1234,
    mime=b"application/sdp\0",
):
    payload = mime + (sdp() if payload is None else payload)
    address = ip_address(origin)
    flags = version << 5 | (address.version == 6) << 4 | deletes << 2 | encrypted << 1 | compressed
    header = struct.pack(">BBH", flags, len(authentication) // 4, identifier) + address.packed + authentication
    return header + (zlib.compress(payload) if compressed else payload)


PLAIN = Message("192.0.2.7", 0x1234, deletes=False, authenticated=False, text=sdp().decode())


@pytest.mark.parametrize(
    "form", [{}, {"mime": b""}, {"compressed": True}, {"mime": b"", "compressed": True}, {"mime": b"Application/SDP\0"}]
)
def test_one_announcement_in_every_form(form):
    assert parse_sap(sap(**form)) == PLAIN


def test_authentication_is_stepped_over_and_told():
    message = parse_sap(sap(authentication=bytes(range(20))))
    assert message.authenticated
    assert message.text == PLAIN.text


def test_ipv6_origin():
    assert parse_sap(sap(origin="2001:db8::7")).origin == "2001:db8::7"


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (sap()[:7], "short"),
        (sap(authentication=bytes(8))[:12], "short"),
        (sap(origin="2001:db8::7")[:15], "short"),
        (sap(version=0), "version"),
        (sap(version=2), "version"),
        (sap(encrypted=True), "encrypted"),
        (sap(compressed=True)[:-5], "compression"),
        (sap(sdp() + bytes(MAX_TEXT_BYTES), compressed=True), "compression"),
        (sap(mime=b"text/plain\0"), "type"),
    ],
)
def test_what_cannot_be_read_is_counted_by_reason(datagram, reason):
    directory = SessionDirectory()
    assert parse_sap(datagram) == reason
    assert directory.take(datagram) is None
    assert directory.discarded == {reason: 1}


def test_a_session_is_told_once_and_again_when_it_changes():
    directory = SessionDirectory()
    assert directory.take(sap()).name == "tone"
    assert directory.take(sap()) is None
    changed = directory.take(sap(sdp("other", version=2), identifier=0x1235))
    assert changed.name == "other"
    assert len(directory.sessions) == 1
    assert directory.take(sap(sdp(session=2), identifier=0x1236)).name == "tone"
    assert len(directory.sessions) == 2


def test_a_session_ends_only_by_its_own_source():
    directory = SessionDirectory()
    directory.take(sap())
    directory.take(sap(b"o=- 1 1 IN IP4 192.0.2.7\r\n", origin="192.0.2.8", deletes=True))
    assert len(directory.sessions) == 1
    directory.take(sap(b"o=- 1 1 IN IP4 192.0.2.7\r\n", deletes=True, identifier=0x9999))
    assert directory.sessions == {}
    assert directory.discarded == {"unknown": 1}


def test_the_deletion_may_bear_nothing_but_the_identifier():
    directory = SessionDirectory()
    directory.take(sap())
    directory.take(sap(b"", mime=b"", deletes=True))
    assert directory.sessions == {}


def test_another_source_cannot_take_the_place_of_a_session():
    directory = SessionDirectory()
    directory.take(sap())
    directory.take(sap(sdp("spoofed"), origin="192.0.2.8"))
    assert [session.name for session in directory.sessions.values()] == ["tone", "spoofed"]


def test_a_flood_is_bounded():
    directory = SessionDirectory(max_sessions=3)
    for number in range(100):
        directory.take(sap(sdp(session=number), identifier=number))
    assert len(directory.sessions) == 3
    assert directory.discarded == {"full": 97}
    for number in range(100):
        directory.take(sap(b"v=0\r\n=" + str(number).encode(), identifier=number, origin="192.0.2.9"))
    directory = SessionDirectory()
    for number in range(100):
        directory.take(sap(b"o=" + str(number).encode() + b"\r\nv=0", origin=f"192.0.2.{number}"))
    assert directory.discarded == {"sdp": 100}
    assert len(directory.mistakes) == SessionDirectory.MAX_MISTAKES


def test_a_line_that_cannot_be_read_is_named_and_the_session_kept():
    directory = SessionDirectory()
    session = directory.take(sap(sdp().replace(b"L24/48000/2", b"L24")))
    assert (len(directory.sessions), list(directory.mistakes)) == (1, [])
    [warning] = session.description.warnings
    assert warning.startswith(
        "announced by 192.0.2.7 as 'tone':7: a=rtpmap: '97 L24' is not PAYLOAD-TYPE NAME/RATE or "
    )


def test_a_name_in_latin_1():
    assert SessionDirectory().take(sap(sdp("Bühne").decode().encode("latin-1"))).name == "Bühne"


def test_what_describes_nothing_is_a_mistake():
    directory = SessionDirectory()
    directory.take(sap(b"v=0\r\ns=nothing\r\n"))
    assert list(directory.mistakes) == ["announced by 192.0.2.7 as 'nothing': no m= line"]


FORMS = [
    sap(),
    sap(compressed=True),
    sap(authentication=bytes(8), mime=b""),
    sap(origin="2001:db8::7"),
    sap(deletes=True),
]


@pytest.mark.parametrize("form", FORMS, ids=range(len(FORMS)))
def test_every_prefix_gives_an_answer_or_a_reason(form):
    for length in range(len(form)):
        directory = SessionDirectory()
        directory.take(form[:length])
        assert directory.sessions or directory.discarded


@given(st.binary(max_size=200) | st.builds(lambda head, rest: head[:8] + rest, st.sampled_from(FORMS), st.binary()))
def test_random_bytes_give_an_answer_or_a_reason(datagram):
    directory = SessionDirectory()
    directory.take(datagram)
    assert directory.sessions or sum(directory.discarded.values()) == 1


@given(
    origin=st.sampled_from(["192.0.2.7", "2001:db8::7"]),
    text=st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=60),
    deletes=st.booleans(),
)
def test_what_is_announced_is_read(origin, text, deletes):
    text = f"v=0\r\no=- 1 1 IN IP4 {origin}\r\ns={text or '-'}\r\n"
    message = parse_sap(write_sap(origin, text, deletes=deletes))
    assert (message.origin, message.deletes, message.authenticated, message.text) == (origin, deletes, False, text)
    assert message.identifier == parse_sap(write_sap(origin, text)).identifier != 0


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("127.0.0.1", "224.2.127.254"),
        ("224.5.6.7", "224.2.127.254"),
        ("239.1.2.3", "239.255.255.255"),
        ("ff02::1", "ff02::2:7ffe"),
        ("ff3e::8000:1", "ff0e::2:7ffe"),
        ("2001:db8::7", "ff0e::2:7ffe"),
    ],
)
def test_sessions_are_announced_in_the_group_of_their_scope(address, group):
    assert group_for(address) == group


def test_without_an_origin_line_a_session_is_known_by_its_identifier():
    directory = SessionDirectory()
    nameless = b"v=0\r\ns=x\r\nm=audio 5004 RTP/AVP 0\r\nc=IN IP4 239.1.2.3\r\n"
    for identifier in (1, 2, 1):
        directory.take(sap(nameless, identifier=identifier))
    assert len(directory.sessions) == 2
    directory.take(sap(nameless.replace(b"s=x", b"o=odd\r\ns=x"), identifier=3))
    directory.take(sap(nameless.replace(b"s=x", b"o=odd\r\ns=y"), identifier=4))
    assert len(directory.sessions) == 3  # an origin line of another form is one all the same
    assert set(directory.sessions) == {"192.0.2.7 0001", "192.0.2.7 0002", "192.0.2.7 odd"}


@pytest.mark.parametrize("more", [0, 1])
def test_a_text_may_be_so_long(more):
    text = sdp() + b"i=" + b"x" * (MAX_TEXT_BYTES - len(b"application/sdp\0") - len(sdp()) - 2 + more)
    message = parse_sap(sap(text, compressed=True))
    assert message == "compression" if more else message.text == text.decode()
    assert MAX_TEXT_BYTES == 65_536
