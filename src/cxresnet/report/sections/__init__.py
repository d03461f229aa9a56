"""The sections of the page, one file each: from what a run holds to what a template shows."""
