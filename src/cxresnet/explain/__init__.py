"""Explain predictions by attribution maps with sanity checks. The only room that imports Captum."""
