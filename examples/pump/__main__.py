# SPDX-License-Identifier: Apache-2.0
"""`python -m examples.pump`: pumps, a broker, neurovmd and a shipped model in this terminal."""

from __future__ import annotations

import sys

from examples.pump.demo import main

sys.exit(main())
