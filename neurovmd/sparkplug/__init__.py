# SPDX-License-Identifier: Apache-2.0
"""Sparkplug B 3.0: its payloads, what is heard of other nodes, and this node as one of them.

Own code for the one message type that is needed: the protobuf package would add 1.5 MB of extension
and 8 MB of memory (measured, protobuf 7) to every worker, for two hundred lines.
"""

from __future__ import annotations

NAMESPACE = "spBv1.0"
"""The first level of its topics."""
