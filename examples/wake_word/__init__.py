# SPDX-License-Identifier: Apache-2.0
"""A word that wakes a house, heard by a network that remembers."""
