"""Check the lists behind a claim, without any image."""
