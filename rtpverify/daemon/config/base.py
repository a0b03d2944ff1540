"""What the tables of the configuration have in common.

Every part of the daemon has the model of its table in its own module; :mod:`rtpverify.daemon.configuration` composes
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo
from pydantic_core import PydanticCustomError

from rtpverify.errors import RequestError
from rtpverify.sources.live.endpoint import join_address
from rtpverify.sources.small_file import read_small


class Table(BaseModel):
    """A table of the configuration: no key but those it names, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


@dataclass(frozen=True, slots=True)
class Listen:
    """Where a server listens; port 0 takes a free one."""

    address: str
    port: int

    def __str__(self) -> str:
        return join_address(self.address, self.port)


def mistake(reason: str, known: str = "") -> PydanticCustomError:
    """Return what a validator raises: one line, less the place and value that are before it in ours (``known``).

    Parameters
    ----------
    reason
        What is wrong.
    known
        Place and value, as they begin other messages; it is cut off.

    Returns
    -------
    PydanticCustomError
        To be raised in a validator.
    """
    return PydanticCustomError("told", "{reason}", {"reason": reason.removeprefix(known).lstrip(": ")})


def text_of(value: object) -> str:
    """Return a value that has to be text.

    Parameters
    ----------
    value
        What the configuration holds.

    Returns
    -------
    str
        The same.

    Raises
    ------
    PydanticCustomError
        Where it is no text.
    """
    if not isinstance(value, str):
        raise mistake("is not text")
    return value


def _listen(value: object) -> Listen:
    address, _, port = text_of(value).rpartition(":")
    address = address.removeprefix("[").removesuffix("]")
    try:
        ip_address(address)
    except ValueError:
        raise mistake("is not ADDRESS:PORT with a numeric address") from None
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise mistake("is not ADDRESS:PORT with a port from 0 to 65535")
    return Listen(address, int(port))


ListenField = Annotated[Listen, BeforeValidator(_listen)]
"""``"ADDRESS:PORT"``."""


def path_of(value: object, info: ValidationInfo) -> Path:
    """Return a path that text says; a relative one starts from the folder of the configuration.

    Parameters
    ----------
    value
        What the configuration holds.
    info
        Whose context has the folder of the configuration.

    Returns
    -------
    Path
        An absolute path, or one from the present folder.
    """
    folder: Path = info.context or Path()
    if not text_of(value):
        raise mistake("is empty")
    return folder / text_of(value)


PathField = Annotated[Path, BeforeValidator(path_of)]
"""See :func:`path_of`."""


def content_of(value: object, info: ValidationInfo) -> tuple[Path, bytes]:
    """Return the file that text says, and what is in it now: another content makes another configuration.

    Parameters
    ----------
    value
        What the configuration holds.
    info
        Whose context has the folder of the configuration.

    Returns
    -------
    path : Path
        The file.
    content : bytes
        What is in it.
    """
    path = path_of(value, info)
    try:
        return path, read_small(path)
    except OSError as error:
        raise mistake(f"{path}: {error.strerror}") from None


def told(error: RequestError, known: str) -> PydanticCustomError:
    """Return the message of an error as :func:`mistake` does.

    Parameters
    ----------
    error
        The error.
    known
        Place and value, as they begin its message.

    Returns
    -------
    PydanticCustomError
        To be raised in a validator.
    """
    return mistake(str(error), known)
