"""What tests of the daemon share."""

from __future__ import annotations

import subprocess

import pytest


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return a certificate for 127.0.0.1 and its key, as ``[metrics]`` names them."""
    folder = tmp_path_factory.mktemp("tls")
    names = {"certificate": str(folder / "cert.pem"), "key": str(folder / "key.pem")}
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=bench"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", names["certificate"], "-keyout", names["key"]]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not there")
    return names
