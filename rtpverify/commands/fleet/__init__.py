"""Many benches at once: what their daemons publish to NATS, as a table, as JSON, as a page, and for Prometheus."""
