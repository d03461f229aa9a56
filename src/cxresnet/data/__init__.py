"""Data: from images as they come to a dataset whose splits share no patient."""
