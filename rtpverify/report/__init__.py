"""Views of a result: text, JSON, JUnit, HTML."""
