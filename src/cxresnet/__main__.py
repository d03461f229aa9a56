"""`python -m cxresnet` and the command `cxresnet`."""

import os
import sys

if (
    __name__ == "__main__"
    and not sys.flags.safe_path
    and os.path.realpath(sys.path[0]) != os.path.realpath(f"{__file__}/../..")
):
    # `python -m` puts the current folder first, which may hold a `numpy.py` among its images.
    # Where this package lies in it, it stays: whoever can write there can change the package.
    del sys.path[0]

from cxresnet.cli.app import main

if __name__ == "__main__":
    main()
