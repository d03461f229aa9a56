"""Drawn chest films with a known truth. They are drawings, not patients."""
