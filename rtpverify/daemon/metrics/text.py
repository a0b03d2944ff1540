"""Metric families as text: the Prometheus format 0.0.4 and OpenMetrics 1.0.

Written here because of what it costs: prometheus_client takes 10 to 20 times as long for as many samples, all of it
with the interpreter lock that the receive path needs. Its parsers hold this text in the tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal

from rtpverify.live.histogram import BucketCounts

EOF = "# EOF\n"
"""Ends OpenMetrics text."""


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One event of those that a counter counts; ``time_ns`` since the Unix epoch."""

    event_id: str
    time_ns: int

    def __str__(self) -> str:
        seconds, rest_ns = divmod(self.time_ns, 1_000_000_000)
        return f' # {{event_id="{self.event_id}"}} 1 {seconds}.{rest_ns:09}'


@dataclass(slots=True)
class Family:
    """One metric with all its samples.

    Attributes
    ----------
    name
        Without ``_total``.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    documentation: str
    samples: list[tuple[str, float | BucketCounts, Exemplar | None]] = field(default_factory=list)
    """Labels as :func:`labels` writes them, value, and an example of what was counted."""

    def add(self, labels: str, value: float | BucketCounts | None, exemplar: Exemplar | None = None) -> None:
        """Add a sample; nothing where there is no value.

        Parameters
        ----------
        labels
            As :func:`labels` writes them.
        value
            The value; None where it was not measured.
        exemplar
            An event that belongs to it.
        """
        if value is not None:
            self.samples.append((labels, value, exemplar))


def labels(values: Mapping[str, str]) -> str:
    """Write labels, without braces.

    Parameters
    ----------
    values
        Values by name; they are escaped.

    Returns
    -------
    str
        Such as ``stream="studio",channel="1"``.
    """
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in values.items())


def exposition(families: Iterable[Family], *, openmetrics: bool) -> str:
    """Write families, also those without a sample; what ends OpenMetrics text is omitted.

    Parameters
    ----------
    families
        The metrics.
    openmetrics
        OpenMetrics 1.0 in place of the text format of Prometheus.

    Returns
    -------
    str
        The text.
    """
    lines: list[str] = []
    for family in families:
        suffix = "_total" if family.kind == "counter" else ""
        named = family.name if openmetrics else family.name + suffix
        lines.append(f"# HELP {named} {family.documentation}\n# TYPE {named} {family.kind}\n")
        for label_text, value, exemplar in family.samples:
            if isinstance(value, BucketCounts):
                lines += _histogram(family.name, label_text, value)
                continue
            braced = f"{{{label_text}}}" if label_text else ""
            example = str(exemplar) if openmetrics and exemplar else ""
            lines.append(f"{family.name}{suffix}{braced} {_number(value)}{example}\n")
    return "".join(lines)


def _histogram(name: str, label_text: str, counts: BucketCounts) -> Sequence[str]:
    """Write one histogram: its buckets hold what those below them hold."""
    before = f"{label_text}," if label_text else ""
    braced = f"{{{label_text}}}" if label_text else ""
    edges = [*(_number(float(edge)) for edge in counts.edges), "+Inf"]
    below = list(accumulate(counts.counts))
    return [
        *(f'{name}_bucket{{{before}le="{edge}"}} {count}\n' for edge, count in zip(edges, below, strict=True)),
        f"{name}_sum{braced} {_number(counts.total)}\n",
        f"{name}_count{braced} {below[-1]}\n",
    ]


def _number(value: float) -> str:
    """Write a number; bool and numpy's numbers too."""
    return str(value + 0)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
