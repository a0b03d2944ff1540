"""``--limits FILE``: limits in TOML."""

from __future__ import annotations

from pathlib import Path

from rtpverify.errors import ConfigurationError
from rtpverify.limits import Limits, with_values
from rtpverify.sources.small_file import read_small


def read_limits(path: Path, profile: Limits) -> Limits:
    """Return the profile with the values of a TOML file over it.

    Parameters
    ----------
    path
        The file.
    profile
        Limits that hold where it says nothing.

    Returns
    -------
    Limits
        The limits.

    Raises
    ------
    ConfigurationError
        Where the file cannot be read, is no TOML, or holds an unknown or unusable value.
    """
    import tomllib

    try:
        values = tomllib.loads(read_small(path, is_patient=True).decode())
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except RecursionError:
        raise ConfigurationError(f"{path}: not TOML: arrays or tables are nested too deeply") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from error
    return with_values(profile, values, str(path))
