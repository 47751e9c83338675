# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from neurovmd import lean

lean.put_off()
