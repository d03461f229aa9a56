"""The questions of the audit, one file each; each registers itself."""
