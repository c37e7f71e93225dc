#!/bin/bash
# Installs the package, boots again, and looks when the guard came. Run by tests/system/boot, which boots a second time
# where the first run leaves a file `again`.
set -uo pipefail
cd /shmguard-test || exit 1

if [ ! -e installed ]; then
    dpkg -i ./*.deb || exit 1
    sed -i 's/^#mode = .*/mode = "prevent"/' /etc/shmguard/shmguard.toml
    # What tries to run from /run at boot, as the first ordinary service.
    cat >/etc/systemd/system/early.service <<'UNIT'
[Unit]
DefaultDependencies=no
After=sysinit.target
Before=basic.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'cp /bin/true /run/early && /run/early; echo $? >/shmguard-test/early'
[Install]
WantedBy=basic.target
UNIT
    systemctl enable early.service
    touch installed again
    exit 0
fi

. ./checks.sh
when() { systemctl show -P "$2" "$1"; }

check "it is active after a boot" systemctl --quiet is-active shmguard
check "in the mode of its configuration" test "$(shmguard mode)" = prevent
check "it stood before sysinit.target was reached" \
    test "$(when shmguard.service ActiveEnterTimestampMonotonic)" -le "$(when sysinit.target ActiveEnterTimestampMonotonic)"
check "an early service's program is denied (126)" test "$(cat early)" = 126
check "no order is contradictory" bash -c '! journalctl -b --no-pager | grep -i "ordering cycle"'
check "nothing was killed or restarted" test "$(when shmguard.service NRestarts)" = 0
exit $failed
