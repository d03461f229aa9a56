"""Reporting checklists, filled from what a run has written; what is not known says so."""
