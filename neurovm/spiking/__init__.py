# SPDX-License-Identifier: Apache-2.0
"""Spiking networks proper: populations of neurons and the projections between them, in time."""
