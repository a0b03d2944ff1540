"""What the network did to each stream: which stream a packet is of, order, loss, timing, redundancy."""
