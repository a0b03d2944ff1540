"""Which packets are wanted, what is expected of them, and which sources may be one and the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rtpverify.engine.expectation import Selection, StreamSpec
from rtpverify.rtp.batch import Flow, RtpBatch
from rtpverify.transport.places import Claim


class Identity:
    """From flows to what is expected of them.

    Parameters
    ----------
    specs
        What is expected; the first that matches a flow holds for it.
    selection
        Packets of other streams are omitted; None takes all.

    Attributes
    ----------
    specs
        What is expected; None where it is not any more: flows refer to what is expected by its place here.
    refused
        Packets omitted, by reason: ``unmatched``, ``not_selected``.
    has_legs
        Whether any flow seen so far may be a leg of a stream.
    """

    def __init__(self, specs: Sequence[StreamSpec], selection: Selection | None) -> None:
        self.specs: list[StreamSpec | None] = list(specs)
        self.refused: Counter[str] = Counter()
        self.has_legs = False
        self._selection = selection
        self._flows: Sequence[Flow] = ()
        # One entry a flow.
        self._spec = np.zeros(0, np.int64)
        self._source = np.zeros(0, np.int64)
        """The flow by which the source of its packets is known: the first of all legs."""
        self._selected = np.zeros(0, np.bool_)
        self._note_copies()

    def add(self, spec: StreamSpec) -> None:
        """Expect one more stream; flows that matched nothing so far are matched again.

        Parameters
        ----------
        spec
            What is expected.
        """
        if None in self.specs:
            self.specs[self.specs.index(None)] = spec
        else:
            self.specs.append(spec)
        self._note_copies()
        self._match_again(-1)

    def remove(self, spec: StreamSpec) -> None:
        """Expect a stream no longer; its flows are matched against what still is expected.

        Parameters
        ----------
        spec
            What is no longer expected.
        """
        place = self.specs.index(spec)
        self.specs[place] = None
        self._note_copies()
        self._match_again(place)

    def matching(self, rtp: RtpBatch) -> RtpBatch:
        """Leave out packets that nobody wants; those that carry the same get the first of their SSRCs.

        Parameters
        ----------
        rtp
            Packets in order of arrival.

        Returns
        -------
        RtpBatch
            The packets that are wanted.
        """
        self._flows = flows = rtp.source.flows
        for flow in flows[len(self._spec) :]:
            self._note(flow)
        wanted = self._spec[rtp.flow] >= 0
        if not wanted.all():
            self.refused["unmatched"] += len(rtp) - int(np.count_nonzero(wanted))
            rtp = rtp.take(np.flatnonzero(wanted))
        if self._selection is not None:
            rtp = self._picked(rtp, self._selection)
        return self._by_first_ssrc(rtp) if self._copies else rtp

    def _by_first_ssrc(self, rtp: RtpBatch) -> RtpBatch:
        """Return packets under the first SSRC of those that carry the same."""
        ssrc, copy = rtp.ssrc.copy(), np.zeros(len(rtp), np.int64)
        for place, group in self._copies:
            ours = self._spec[rtp.flow] == place
            for number, other in enumerate(group[1:], 1):
                its = ours & (rtp.ssrc == other)
                ssrc[its], copy[its] = group[0], number
        return replace(rtp, ssrc=ssrc, copy=copy)

    def _note_copies(self) -> None:
        """Note which SSRCs carry the same, each group with the place of what is expected there."""
        specs = [(place, spec) for place, spec in enumerate(self.specs) if spec is not None]
        self._copies = [(place, group) for place, spec in specs for group in spec.duplicate_ssrcs]

    def spec_of(self, flow: int) -> StreamSpec:
        """Return what is expected of a flow whose packets are wanted.

        Parameters
        ----------
        flow
            Index of the flow.

        Returns
        -------
        StreamSpec
            What the first matching spec expects.
        """
        spec = self.specs[int(self._spec[flow])]
        if spec is None:
            raise AssertionError(f"flow {flow} matches a stream that is no longer expected")
        return spec

    def source_flow(self, rtp: RtpBatch) -> NDArray[np.int64] | None:
        """Return the flow by which the source of each packet is known, shape (n,); None: the one it came over.

        Parameters
        ----------
        rtp
            Packets that are wanted.

        Returns
        -------
        NDArray[np.int64] or None
            Indices of flows.
        """
        return self._source[rtp.flow] if self.has_legs else None

    def place_of(self, flow: int, payload_type: int) -> Hashable:
        """Return what two sources share where one may come back as the other.

        A sender that is started again has another port as often as not, and may have another payload type. Where no
        stream is configured, calls of one host, each from a port of its own, are as many streams.

        Parameters
        ----------
        flow
            Index of the flow.
        payload_type
            RTP payload type, 0 to 127.

        Returns
        -------
        Hashable
            Equal for such sources.
        """
        spec, ends = self.spec_of(flow), self._flows[flow]
        encoding = spec.encoding_of(payload_type) or payload_type
        if spec.is_merged:
            return int(self._spec[flow]), encoding
        sender = ends.sender.rpartition(":")[0] if spec.is_configured else ends.sender
        return int(self._spec[flow]), sender, ends.destination, encoding

    def claim_of(self, flow: int) -> Claim | None:
        """Return what a source of this flow may have a place for: a certain stream, whoever else sends to its port.

        Parameters
        ----------
        flow
            Index of the flow.

        Returns
        -------
        Claim or None
            None where no stream is configured for it.
        """
        place, spec = int(self._spec[flow]), self.spec_of(flow)
        sender = self._flows[flow].sender.rpartition(":")[0]
        return Claim((place, spec.name), sender) if spec.is_configured else None

    def _note(self, flow: Flow) -> None:
        """Find out what is expected of a flow that was not seen before."""
        number = len(self._spec)
        self._spec = np.append(self._spec, -1)
        self._source = np.append(self._source, number)
        self._match(number, flow)
        chosen = self._selection is None or self._selection.matches(flow)
        self._selected = np.append(self._selected, chosen)

    def sources_of(self, flows: set[int]) -> set[int]:
        """Return the flows by which the sources of packets of these flows are known.

        Parameters
        ----------
        flows
            Indices of flows.

        Returns
        -------
        set[int]
            Indices of flows.
        """
        return set(self._source[list(flows)].tolist())

    def renumber(self, kept: NDArray[np.int64], number_of: Mapping[int, int]) -> None:
        """Know flows by other numbers: those that are ``kept``, in order.

        Parameters
        ----------
        kept
            Present numbers of the flows that are kept, shape (n,).
        number_of
            New number of each of them.
        """
        self._flows = [self._flows[number] for number in kept.tolist()]
        self._spec, self._selected = self._spec[kept], self._selected[kept]
        self._source = np.array([number_of[number] for number in self._source[kept].tolist()], np.int64)

    def _match(self, number: int, flow: Flow) -> None:
        """Find out which spec holds for a flow."""
        matching = (place for place, spec in enumerate(self.specs) if spec is not None and spec.matches(flow))
        place = next(matching, -1)
        self._spec[number], self._source[number] = place, number
        if place >= 0 and self.spec_of(number).is_merged:
            self.has_legs = True
            self._source[number] = np.flatnonzero(self._spec == place)[0]

    def _match_again(self, place: int) -> None:
        """Find out which spec holds for the flows of a place; -1 for those that matched nothing."""
        for number in np.flatnonzero(self._spec == place).tolist():
            self._match(number, self._flows[number])

    def _picked(self, rtp: RtpBatch, selection: Selection) -> RtpBatch:
        """Leave out packets that the selection does not pick."""
        chosen = np.ones(len(rtp), np.bool_)
        if selection.ssrcs or selection.ends:
            chosen = self._selected[rtp.flow] | np.isin(rtp.ssrc, list(selection.ssrcs))
        if selection.payload_types is not None:
            chosen &= np.isin(rtp.payload_type, list(selection.payload_types))
        self.refused["not_selected"] += len(rtp) - int(np.count_nonzero(chosen))
        return rtp.take(np.flatnonzero(chosen))
