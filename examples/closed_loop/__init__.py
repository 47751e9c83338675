# SPDX-License-Identifier: Apache-2.0
"""A pole balanced over MQTT: sensors to a network, its answer to an actuator, and again."""
