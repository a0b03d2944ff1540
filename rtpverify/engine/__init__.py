"""The verifier: batches of datagrams in, events and results out, without a clock or a socket."""
