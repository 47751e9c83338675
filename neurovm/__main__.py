# SPDX-License-Identifier: Apache-2.0
"""`python -m neurovm`: the command."""

import sys

from neurovm.cli import main

if __name__ == "__main__":
    sys.exit(main())
