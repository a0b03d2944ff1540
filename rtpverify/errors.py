"""Every exception rtpverify raises on purpose.

Only a caller's mistake raises: faults of a stream are events, bad packets are counted::

    RequestError        the request or its input is unusable; ``rtpverify`` exits with status 2
      SourceError       a file, capture or socket cannot be read or opened
        DamagedError    what a file holds contradicts itself
      OutputError       a file or standard output cannot be written
      NothingArrived    no audio came; status 3
      ConfigurationError  a configuration, limits file or session description is wrong

A message is one line that names the place (file, line, option, key) and the bad value.
"""


class RequestError(Exception):
    """The request is unusable; the message names what and where, in one line."""

    exit_status = 2


class SourceError(RequestError):
    """A source of audio cannot be opened or read."""


class DamagedError(SourceError):
    """What a file holds contradicts itself; reading it again will not help."""


class OutputError(RequestError):
    """A file, or standard output, cannot be written."""


class NothingArrived(RequestError):  # noqa: N818 - the published name
    """A live source or capture gave no audio."""

    exit_status = 3


class ConfigurationError(RequestError):
    """A configuration, limits file or session description holds a bad value."""
