"""The Python interface: what `import cxresnet` offers, and what the command line calls.

`cxresnet/__init__.py` says which name comes from which module, and imports it when it is used.
"""
