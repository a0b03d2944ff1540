"""``rtpverify selftest``: every fault sent to itself in the user's own format, and what was found of it.

Every kind goes over sockets once, each in a stream of its own, together with clean ones. Then the sizes of faults go
down to what cannot be seen any more, through the engine alone, which is many times faster and gives the same answers.
"""
