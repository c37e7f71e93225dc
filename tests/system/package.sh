#!/bin/bash
# Installs the package on a running system, and looks at what it does. Run by tests/system/boot.
set -uo pipefail
cd /shmguard-test || exit 1

. ./checks.sh

echo "== installation"
check "dpkg installs it" dpkg -i ./*.deb
check "the unit is sound" systemd-analyze verify --man=no /usr/lib/systemd/system/shmguard.service
# docs/requirements.md says this number.
check "its exposure has not grown" systemd-analyze security --no-pager --threshold=29 shmguard.service
check "it runs" systemctl is-active shmguard
check "it starts at boot" systemctl is-enabled shmguard
check "in audit mode" says audit shmguard mode
shmguard status
echo "status: $?"
echo "== audit mode"
cp /bin/true /dev/shm/kdmtmpflush
check "root's program in /dev/shm runs" /dev/shm/kdmtmpflush
cp /bin/true /run/evil
check "root's program in /run runs" /run/evil
check "the record tells that it would be denied" says '"tags":["would-deny"]' tail -n 1 /var/log/shmguard/events.ndjson
# A quiet log is looked at every three seconds.
check "and so do the alerts, a moment later" eventually grep -q /dev/shm/kdmtmpflush /var/log/shmguard/alerts.ndjson
check "the records are for root and adm" says '640 root adm' stat -c '%a %U %G' /var/log/shmguard/events.ndjson
check "syslog has it" eventually grep -q kdmtmpflush /var/log/auth.log
check "the journal has it, with its fields" says kdmtmpflush journalctl --no-pager _TRANSPORT=journal SYSLOG_IDENTIFIER=shmguard
echo "== prevention"
check "the mode changes" shmguard mode prevent --for 1h
check "and says so" says 'prevent until' shmguard mode
check "root is denied in /dev/shm" EPERM /dev/shm/kdmtmpflush
check "root is denied in /run" EPERM /run/evil
check "through a bind mount too" bash -c 'mkdir -p /mnt/b && mount --bind /dev/shm /mnt/b && ! /mnt/b/kdmtmpflush'
check "in another mount namespace too" unshare -m bash -c '! /dev/shm/kdmtmpflush'
check "programs elsewhere run" /bin/true
check "the guard's own sandbox is what the unit says" says 'NoNewPrivs:	1' grep NoNewPrivs "/proc/$(systemctl show -P MainPID shmguard)/status"
echo "== a user"
check "a user's program is allowed" setpriv --reuid=1000 --regid=1000 --clear-groups /dev/shm/kdmtmpflush
check "a user may not ask" says 'only root may speak' setpriv --reuid=1000 --regid=1000 --clear-groups shmguard status
setpriv --reuid=1000 --regid=1000 --clear-groups shmguard status 2>/dev/null
check "and the exit status says so" test $? = 77
echo "== reload"
echo 'mode = "prevnt"' >/etc/shmguard/shmguard.toml.new
cp /etc/shmguard/shmguard.toml /tmp/good.toml
cat /etc/shmguard/shmguard.toml.new >>/etc/shmguard/shmguard.toml
refute "a configuration with a mistake is not taken over" systemctl reload shmguard
check "the mistake is shown" says 'prevnt' shmguard reload
refute "and status says so" shmguard status
cp /tmp/good.toml /etc/shmguard/shmguard.toml
check "a good one is" systemctl reload shmguard
check "the mode for an hour is still there" says 'prevent until' shmguard mode
echo "== the unit"
main=$(systemctl show -P MainPID shmguard)
check "the reader has real-time priority" says 'scheduling  SCHED_FIFO 1' shmguard status
kill_guard KILL
for _ in $(seq 50); do shmguard mode >/dev/null 2>&1 && break; sleep 0.1; done
check "after a kill -9 it is there again" shmguard mode
check "as another process" test "$main" != "$(systemctl show -P MainPID shmguard)"
check "in the mode that was set for an hour" says 'prevent until' shmguard mode
main=$(systemctl show -P MainPID shmguard)
kill_guard STOP
check "while it is stopped an exec waits, until the watchdog has another one answer" EPERM /dev/shm/kdmtmpflush
check "which is another process" test "$main" != "$(systemctl show -P MainPID shmguard)"
check "and the journal says why" says 'Watchdog timeout' journalctl -u shmguard --no-pager
echo "== a guard that cannot start after another one"
configure() { printf '%s\n' "$@" >/etc/shmguard/shmguard.toml; }
configure 'mode = "prevent"'
check "prevention" systemctl restart shmguard
mkdir /srv/records
configure 'mode = "prevent"' '[log.file]' 'path = "/srv/records/events.ndjson"'
check "a log where the unit may not write keeps it from nothing" systemctl restart shmguard
check "but an answer" EPERM /dev/shm/kdmtmpflush
refute "and status says so" shmguard status
check "and why" says 'Read-only file system' shmguard status
mkdir -p /etc/systemd/system/shmguard.service.d
printf '[Service]\nReadWritePaths=/srv/records\n' >/etc/systemd/system/shmguard.service.d/log.conf
systemctl daemon-reload
check "with ReadWritePaths= it may" systemctl restart shmguard
check "where it denies" EPERM /dev/shm/kdmtmpflush
check "and writes" says kdmtmpflush cat /srv/records/events.ndjson
check "and all holds" shmguard status
rm -r /etc/systemd/system/shmguard.service.d
systemctl daemon-reload
# Another group, whose log this is.
systemctl stop shmguard
configure 'mode = "prevent"'
systemctl start shmguard
# The control socket cannot be made: the guard ends with 71, and systemd starts the next one.
configure 'mode = "prevent"' '[control]' 'socket = "/etc/control.sock"'
kill_guard KILL
check "while none can start, execs are answered" timeout --signal=KILL 20 bash -c '! /dev/shm/kdmtmpflush'
check "again and again" timeout --signal=KILL 20 bash -c '! /dev/shm/kdmtmpflush'
check "and the journal says so" eventually bash -c 'journalctl -u shmguard --no-pager | grep "no guard stands"'
configure 'mode = "prevent"'
check "mended, it stands again" eventually shmguard mode
check "and tells how many records are missing" eventually grep -q '"missing"' /var/log/shmguard/events.ndjson
configure 'mode = "audit"'
check "audit mode" systemctl restart shmguard
configure 'mode = "audit"' '[control]' 'socket = "/etc/control.sock"'
kill_guard KILL
check "while none can start in audit mode, programs run" timeout --signal=KILL 20 /dev/shm/kdmtmpflush
cp /tmp/good.toml /etc/shmguard/shmguard.toml
check "mended, it stands again" eventually shmguard mode
shmguard mode prevent >/dev/null
configure 'mode = 1'
kill_guard KILL
check "over a mistake, what waits is denied" EPERM /dev/shm/kdmtmpflush
check "and the unit fails" eventually systemctl --quiet is-failed shmguard
check "and then nothing waits" timeout --signal=KILL 20 /dev/shm/kdmtmpflush
cp /tmp/good.toml /etc/shmguard/shmguard.toml
echo "== take-over, with execs all the time"
sed -i 's/^#mode = .*/mode = "prevent"/' /etc/shmguard/shmguard.toml
check "prevention by configuration" systemctl restart shmguard
(
    ran=0 tried=0
    while [ ! -e /tmp/enough ]; do
        tried=$((tried + 1))
        /dev/shm/kdmtmpflush 2>/dev/null && ran=$((ran + 1))
    done
    echo "$ran $tried" >/tmp/let-through
) &
loop=$!
sleep 0.5
for _ in 1 2; do
    systemctl restart shmguard
    sleep 0.5
done
for _ in 1 2 3; do
    kill_guard KILL
    sleep 1.5
done
check "it answers after three kills" shmguard mode
touch /tmp/enough
wait $loop
read -r ran tried </tmp/let-through
echo "      $tried execs, $ran of them ran"
check "no exec ran because of a restart or a kill" test "$ran" = 0
check "status tells the take-overs" says '"take_overs": 1,' shmguard status --json
systemctl stop shmguard
shmguard status >/dev/null 2>&1
check "stopped, status exits with 69" test $? = 69
check "and the record says who stopped it" says SIGTERM tail -n 3 /var/log/shmguard/events.ndjson
check "then programs run" /dev/shm/kdmtmpflush
echo "== upgrade and removal"
systemctl start shmguard
check "prevention by configuration" EPERM /dev/shm/kdmtmpflush
check "an upgrade keeps the configuration" dpkg -i ./*.deb
check "and the mode" says prevent shmguard mode
echo 'mode = 1' >/etc/shmguard/shmguard.toml
main=$(systemctl show -P MainPID shmguard)
check "an upgrade over a mistake says so" says 'the guard of the old version goes on' dpkg -i ./*.deb
check "and the old guard goes on" test "$main" = "$(systemctl show -P MainPID shmguard)"
cp /tmp/good.toml /etc/shmguard/shmguard.toml
sed -i 's/^#mode = .*/mode = "prevent"/' /etc/shmguard/shmguard.toml
check "a removal" dpkg -r shmguard
refute "stops it" systemctl is-active shmguard
check "and keeps the configuration" test -e /etc/shmguard/shmguard.toml
check "and the records" test -e /var/log/shmguard/events.ndjson
check "a second installation" dpkg -i ./*.deb
check "in the mode of the kept configuration" says prevent shmguard mode
echo 'x' >/etc/shmguard/policy.d/site.txt
check "a purge" dpkg -P shmguard
refute "takes configuration" test -e /etc/shmguard/shmguard.toml
refute "and records away" test -e /var/log/shmguard
check "and leaves what is not ours" test -e /etc/shmguard/policy.d/site.txt
exit $failed
