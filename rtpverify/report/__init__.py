"""Views of a result: text for people, JSON for scripts, JUnit for CI, HTML to hand on.

None of them computes anything about the audio.
"""
