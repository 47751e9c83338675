# SPDX-License-Identifier: Apache-2.0
"""Spoken words from WAV files, by a DS-CNN."""
