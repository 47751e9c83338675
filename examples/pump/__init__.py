# SPDX-License-Identifier: Apache-2.0
"""The demo: a simulated pump station, its sensors on MQTT, and the daemon that watches them."""
