"""`python -m cxresnet` and the command `cxresnet`."""
