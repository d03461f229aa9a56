"""`python -m cxresnet` and the command `cxresnet`."""

from cxresnet.cli.app import main

if __name__ == "__main__":
    main()
