from __future__ import annotations

from pathlib import Path

import pytest

from rtpverify.daemon.configuration import parse_config
from rtpverify.errors import ConfigurationError

STREAM = '[[stream]]\nname = "a"\nsource = "rtp://127.0.0.1:5004"\nencoding = "L24/48000/2"\nreference = "tone:1283"\n'
HISTORY = '[history]\npath = "events.sqlite"\n'


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('site = "north"', "nats.servers: is missing"),
        ('servers = ["nats://127.0.0.1"]', "nats.site: is missing"),
        ('servers = []\nsite = "n"', "nats.servers = []: names no server"),
        ('servers = ["http://127.0.0.1"]\nsite = "n"', "is not nats://HOST[:PORT] or tls://HOST[:PORT]"),
        ('servers = ["nats://u:p@127.0.0.1"]\nsite = "n"', "holds a secret; use user and password_file"),
        ('servers = ["nats://h"]\nsite = "n"\nuser = "u"', "user and password_file go together"),
        ('servers = ["nats://h"]\nsite = "n"\ntoken_file = "none"', "none: No such file or directory"),
        ('servers = ["nats://h"]\nsite = "n"\ntoken_file = "t"\nnkey_file = "t"', "has both nkey_file and token_file"),
        ('servers = ["nats://h"]\nsite = "n"\ncredentials_file = "t"', "holds no NATS credentials"),
        ('servers = ["nats://h"]\nsite = "n"\nca_file = "t"', "holds no valid certificates"),
        ('servers = ["nats://h"]\nsite = "n"\ncertificate = "t"', "cannot be loaded"),
        ('servers = ["nats://h"]\nsite = "n"\nkey = "t"', "key goes with a certificate"),
        ('servers = ["nats://h"]\nsite = "n"\nurl = "bench:9464"', "is not http://HOST... or https://HOST..."),
        ('servers = ["nats://h"]\nsite = "n"\nstate_seconds = 0', "state_seconds = 0"),
    ],
)
def test_a_mistake_names_its_place(tmp_path: Path, lines: str, said: str) -> None:
    (tmp_path / "t").write_text("hush hush\n")
    with pytest.raises(ConfigurationError) as error:
        parse_config(f"{HISTORY}[nats]\n{lines}\n{STREAM}", tmp_path / "bench.toml")
    (line,) = str(error.value).splitlines()
    assert said in line
    assert "hush" not in line


def test_events_wait_in_the_history(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"bench.toml:1: nats.*needs \[history\]"):
        parse_config(f'[nats]\nservers = ["nats://h"]\nsite = "n"\n{STREAM}', tmp_path / "bench.toml")
