"""Just enough of a telephone to be called by SIPp, and the call it makes: INVITE, audio from a capture, BYE."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator

CALL = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="call">
<send retrans="500"><![CDATA[
INVITE sip:b@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
From: <sip:a@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:b@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: sip:a@[local_ip]:[local_port]
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=a 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [local_ip]
t=0 0
m=audio [auto_media_port] RTP/AVP 8
a=rtpmap:8 PCMA/8000

]]></send>
<recv response="200" rtd="true"/>
<send><![CDATA[
ACK sip:b@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
From: <sip:a@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:b@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
<nop><action><exec play_pcap_audio="{audio}"/></action></nop>
<pause milliseconds="{milliseconds}"/>
<send retrans="500"><![CDATA[
BYE sip:b@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
From: <sip:a@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:b@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 2 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
<recv response="200"/>
</scenario>
"""


@contextlib.contextmanager
def telephone(media_port: int) -> Iterator[int]:
    """Answer calls, and have their audio sent to ``media_port``; yield the port to call."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(0.1)
        hung_up = threading.Event()
        answering = threading.Thread(target=_answer, args=(sock, media_port, hung_up))
        answering.start()
        try:
            yield int(sock.getsockname()[1])
        finally:
            hung_up.set()
            answering.join()


def _answer(sock: socket.socket, media_port: int, hung_up: threading.Event) -> None:
    while not hung_up.is_set():
        try:
            request, caller = sock.recvfrom(65536)
        except TimeoutError:
            continue
        text = request.decode()
        kept = [line.strip() for line in re.findall(r"^(?:Via|From|To|Call-ID|CSeq):.*$", text, re.MULTILINE)]
        lines = ["SIP/2.0 200 OK", *(f"{line};tag=b" if line.startswith("To:") else line for line in kept)]
        body = ""
        if text.startswith("INVITE"):
            media = f"m=audio {media_port} RTP/AVP 8"
            body = "\r\n".join(["v=0", "o=b 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0", media, ""])
            lines += [f"Contact: <sip:b@127.0.0.1:{sock.getsockname()[1]}>", "Content-Type: application/sdp"]
        if not text.startswith("ACK"):
            lines += [f"Content-Length: {len(body)}", "", body]
            sock.sendto("\r\n".join(lines).encode(), caller)
