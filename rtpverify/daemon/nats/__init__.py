"""Benches that speak to each other through NATS JetStream: what is published, where, and by whom."""
