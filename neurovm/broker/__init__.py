# SPDX-License-Identifier: Apache-2.0
"""A small MQTT 3.1.1 broker on loopback: what `neurovm run` brings where none is named.

python -m neurovm.broker PORT READY     serves until its standard input ends

READY is a file descriptor on which it says that it accepts connections. Everything is kept in
memory and anybody on this machine may connect: for trying out, not for service.
"""
