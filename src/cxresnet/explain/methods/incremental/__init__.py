"""Incremental occlusion: only what a patch changes is computed again."""
