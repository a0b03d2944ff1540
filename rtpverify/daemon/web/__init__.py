"""What the daemon shows over HTTP: metrics, health, an API, live events, and the page that people look at.

Everything is read-only. Nothing here may delay reception: what the event loop does for a request is short, what takes
longer works on a copy in a thread, one at a time.
"""
