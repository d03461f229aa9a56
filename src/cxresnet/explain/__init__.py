"""Explain: what the network sees. The only room that imports Captum."""
