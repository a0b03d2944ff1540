"""The flight recorder: the last seconds of packets in memory, and of each event what it shows. Knows no daemon."""
