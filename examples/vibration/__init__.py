# SPDX-License-Identifier: Apache-2.0
"""A machine whose vibration goes strange, heard by a network that knows only how it should be."""
