#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# broker.sh ROOT: set up the broker of the root file system ROOT: nothing lost, one name with a password.
set -euo pipefail

root=${1:?the root file system}
cat >"$root/etc/mosquitto/conf.d/test.conf" <<'CONF'
# Keep what was acknowledged: by default the messages of a session beyond 1000 are dropped.
max_queued_messages 0
set_tcp_nodelay true
allow_anonymous true
# Whoever gives a name has to know its password.
password_file /etc/mosquitto/passwords
CONF
chroot "$root" mosquitto_passwd -b -c /etc/mosquitto/passwords box 'open sesame'
chroot "$root" chown mosquitto /etc/mosquitto/passwords
