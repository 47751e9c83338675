#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# broker.sh ROOT: the broker of the root file system ROOT, on two ports, the second with a password.
set -euo pipefail

root=${1:?the root file system}
cat >"$root/etc/mosquitto/conf.d/test.conf" <<'CONF'
# Keep what was acknowledged: by default the messages of a session beyond 1000 are dropped.
max_queued_messages 0
set_tcp_nodelay true
per_listener_settings true
listener 1883 127.0.0.1
allow_anonymous true
listener 1884 127.0.0.1
allow_anonymous false
password_file /etc/mosquitto/passwords
CONF
chroot "$root" mosquitto_passwd -b -c /etc/mosquitto/passwords box 'open sesame'
chroot "$root" chown mosquitto /etc/mosquitto/passwords
