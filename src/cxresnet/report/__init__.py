"""Report: one self-contained page. The only room that imports Jinja and Matplotlib."""
