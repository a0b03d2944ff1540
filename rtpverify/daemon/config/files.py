"""Values of the configuration that are in files of their own: secrets, certificates, keys.

Rules: what a file holds is part of the configuration, so that other content makes another one, which a reload takes
over; a mistake names the file, and never what it holds.
"""

from __future__ import annotations

import ssl
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, SecretStr, ValidationInfo

from rtpverify.daemon.config.base import content_of, mistake


def secret_in(value: object, info: ValidationInfo) -> SecretStr:
    """Return what a file holds, without white space around it.

    Parameters
    ----------
    value
        The path, as the configuration has it.
    info
        Its context is the folder that relative paths start from.

    Returns
    -------
    SecretStr
        What the file holds.
    """
    path, content = content_of(value, info)
    try:
        text = content.decode().strip()
    except UnicodeDecodeError:
        raise mistake(f"{path}: is not text") from None
    if not text:
        raise mistake(f"{path}: is empty")
    return SecretStr(text)


SecretFile = Annotated[SecretStr, BeforeValidator(secret_in)]
"""See :func:`secret_in`."""


def trusting(certificates: str) -> ssl.SSLContext:
    """Return what trusts these certificates (PEM) and no others.

    Parameters
    ----------
    certificates
        PEM.

    Returns
    -------
    ssl.SSLContext
        For clients.
    """
    return ssl.create_default_context(cadata=certificates)


def _certificates_in(value: object, info: ValidationInfo) -> str:
    path, content = content_of(value, info)
    try:
        text = content.decode("ascii")
        trusting(text)
    except (ValueError, ssl.SSLError):
        raise mistake(f"{path}: holds no valid certificates") from None
    return text


CertificatesFile = Annotated[str, BeforeValidator(_certificates_in)]
"""Certificates (PEM) to trust, for :func:`trusting`."""


class PemFile:
    """A file of a certificate or key; another content makes it another file, so that a renewed one is taken over.

    Parameters
    ----------
    path
        The file.
    content
        What is in it.
    """

    def __init__(self, path: Path, content: bytes) -> None:
        self.path = path
        self._digest = sha256(content).digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PemFile) and (self.path, self._digest) == (other.path, other._digest)

    def __hash__(self) -> int:
        return hash((self.path, self._digest))


def _pem(value: object, info: ValidationInfo) -> PemFile:
    return PemFile(*content_of(value, info))


PemField = Annotated[PemFile, BeforeValidator(_pem)]
"""The path of a certificate or key."""


def load_chain(context: ssl.SSLContext, certificate: PemFile, key: PemFile | None) -> None:
    """Let a context show a certificate, whose key is in a file of its own or in the same.

    Parameters
    ----------
    context
        Which shows it.
    certificate
        PEM, with the chain.
    key
        PEM; None where it is in the file of the certificate.
    """
    try:
        context.load_cert_chain(certificate.path, key.path if key else None, _no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise mistake(f"certificate {certificate.path}: cannot be loaded: {reason}") from None


def _no_password() -> str:
    """Answer for a key that is encrypted: nobody is there to be asked."""
    raise ValueError("the key is encrypted")
