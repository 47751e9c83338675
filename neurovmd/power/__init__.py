# SPDX-License-Identifier: Apache-2.0
"""The power limit: ``sensors → estimate → policy → actuators``."""

from neurovmd.power.governor import Governor, PowerState
from neurovmd.power.reading import Roots

__all__ = ["Governor", "PowerState", "Roots"]
