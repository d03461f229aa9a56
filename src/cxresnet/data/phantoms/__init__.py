"""Drawn chest X-rays with a known truth. They are drawings, not patients."""
