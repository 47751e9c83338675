# SPDX-License-Identifier: Apache-2.0
"""Shapes before an event camera, named by a spiking network behind MQTT."""
