"""Stratified group splits: no patient and no near-duplicate on both sides."""
