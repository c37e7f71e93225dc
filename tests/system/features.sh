#!/bin/bash
# Installs the package and tries each feature that is not on by default, in the unit as it is shipped. Run by
# tests/system/boot; in a virtual machine (VM=1) all of it runs.
set -uo pipefail
cd /shmguard-test || exit 1
. ./checks.sh

records=/var/log/shmguard/events.ndjson
configure() { # configure KEY...: prevention, and these keys of [watch]
    {
        echo 'mode = "prevent"'
        echo '[watch]'
        printf '%s\n' "$@"
    } >/etc/shmguard/shmguard.toml
    systemctl restart shmguard
}
recorded() { # recorded TEXT...: one record must hold all of them
    local lines
    lines=$(cat $records)
    for text in "$@"; do lines=$(grep -F -- "$text" <<<"$lines"); done
    test -n "$lines"
}

listens() { # listens PID: the guard with this number has its threads on the processors
    local task threads=0 cpus=
    for task in /proc/"$1"/task/*; do
        [ "$(cat "$task/comm")" = hold ] || continue
        chrt -p "${task##*/}" | grep -q SCHED_FIFO || return
        threads=$((threads + 1))
        cpus+=$(sed -n 's/^Cpus_allowed_list:\t//p' "$task/status")$'\n'
    done
    echo "$threads threads, on $cpus"
    [ "$threads" = "$(nproc)" ] && [ -z "$(sort <<<"${cpus%$'\n'}" | uniq -d)" ] && ! grep -q '[-,]' <<<"$cpus"
}
told() { # told COUNT: so many memfds were told of
    local count
    count=$(grep -F '"unseen":"memfd"' $records | grep -cF '"executable":"/memfd:way"')
    echo "$count"
    [ "$count" = "$1" ]
}

dpkg -i ./*.deb >/dev/null || exit 1
cp /bin/true /dev/shm/program
printf 'echo ran\n' >/dev/shm/script
echo 'int main(void) { return 0; }' >/tmp/empty.c
echo '__attribute__((constructor)) static void hello(void) {}' >/tmp/library.c
cc -shared -fPIC -o /dev/shm/library.so /tmp/library.c
loader=$(echo /lib64/ld-linux-*.so.2)

echo "== as shipped"
configure
check "everything promised holds" shmguard status
check "the reader has real-time priority" says 'scheduling  SCHED_FIFO 1' shmguard status
if prlimit --rtprio=1:1 true 2>/dev/null; then
    check "and leaves it while the host is calm" says 'SCHED_FIFO 1 while' shmguard status
else
    echo "SKIPPED: the reader leaves the real-time class; root has no CAP_SYS_RESOURCE here"
fi
check "the kernel's own loader runs it" "$loader" /dev/shm/program
check "a denial" EPERM /dev/shm/program
check "is recorded with arguments, parent and hash" \
    recorded '"executable":"/dev/shm/program"' '"args":' '"parent":{' '"sha256":"'

echo "== loaders"
configure 'loaders = "deny"'
check "everything promised holds" shmguard status
refute "a program that ld.so is given does not run" "$loader" /dev/shm/program
check "and is recorded" recorded '"action":"load"' '"executable":"/dev/shm/program"'
check "a library is not preloaded" says 'cannot be preloaded' env LD_PRELOAD=/dev/shm/library.so /bin/true
check "readers read" cmp /bin/true /dev/shm/program

echo "== interpreters"
configure 'interpreters = "deny"'
check "everything promised holds" shmguard status
refute "a script that sh is given does not run" sh /dev/shm/script
check "and is recorded" recorded '"action":"interpret"' '/dev/shm/script'
check "readers read" grep -q ran /dev/shm/script

echo "== containers"
configure 'containers = true'
# As a container has it: a mount namespace of its own, its own tmpfs, and a program that is run from it a while later.
cat >container <<'SCRIPT'
mount --make-rprivate / && mount -t tmpfs tmpfs /dev/shm && cp /bin/true /dev/shm/inside && sleep 3 && /dev/shm/inside
SCRIPT
check "what runs from a container's own directory is denied" says 'not permitted' unshare -m sh container
check "and recorded" recorded '"executable":"/dev/shm/inside"' '"denied"'
check "everything promised holds" shmguard status

echo "== mounts"
mkdir -p /dev/shm/below
mount -t tmpfs tmpfs /dev/shm/below
cp /bin/true /dev/shm/below/program
sleep 1
check "what is mounted below is denied" EPERM /dev/shm/below/program
# A file of a filesystem that another one hides, held by a descriptor from before.
exec 7</dev/shm/program
mount -t tmpfs tmpfs /dev/shm
systemctl restart shmguard
check "everything promised holds over a hidden mount" shmguard status
check "what a mount hides is denied" EPERM /proc/self/fd/7
umount /dev/shm

echo "== content"
configure
# A small one, for a slow machine must hash it in time; another user's, for its lease takes a capability.
cc -s -o /dev/shm/known /tmp/empty.c
chown 65534 /dev/shm/known
cat >/etc/shmguard/policy.d/content.toml <<RULE
[[rule]]
id = "known"
effect = "allow"
when = 'file.hash.sha256 == "$(sha256sum /dev/shm/known | cut -d ' ' -f 1)"'
RULE
check "a rule is taken over" shmguard reload
check "what it knows by content runs" bash -c '/dev/shm/known || /dev/shm/known || /dev/shm/known'
rm /etc/shmguard/policy.d/content.toml
check "and without the rule" shmguard reload
check "no more" EPERM /dev/shm/known

echo "== the kernel's audit log"
printf 'mode = "prevent"\n[log.audit]\nenabled = true\n' >/etc/shmguard/shmguard.toml
# A group that was handed over is as it was made.
systemctl stop shmguard
systemctl start shmguard
check "it is asked for" says '"FAN_ENABLE_AUDIT": true' shmguard status --json
check "a denial" EPERM /dev/shm/program

echo "== what runs unseen"
install -D -m 644 /usr/share/shmguard/systemd/unseen.conf /etc/systemd/system/shmguard.service.d/unseen.conf
systemctl daemon-reload
configure 'unseen = "report"'
check "a denial" EPERM /dev/shm/program
if [ "$(readlink /proc/self/ns/pid)" = 'pid:[4026531836]' ]; then
    check "everything promised holds" shmguard status
    echo '#include <sys/mman.h>
#include <unistd.h>
#include <fcntl.h>
int main(void) {
    char bytes[1 << 20];
    int from = open("/bin/true", O_RDONLY), to = memfd_create("way", MFD_CLOEXEC);
    write(to, bytes, read(from, bytes, sizeof bytes));
    fexecve(to, (char *[]){"way", 0}, (char *[]){0});
    return 1;
}' >/tmp/memfd.c
    cc -w -D_GNU_SOURCE -o memfd /tmp/memfd.c
    main=$(systemctl show -P MainPID shmguard)
    check "a thread for each processor listens there, with real-time priority" listens "$main"
    refute "and CAP_NET_ADMIN, which one may need at the start, is given up" \
        grep -E '^Cap(Prm|Eff):.*[13579bdf]...$' "/proc/$main/status"
    # Programs that end at once: who is not there at their first instruction finds nothing.
    check "twenty memfds run" bash -c 'for _ in $(seq 20); do ./memfd || exit; done'
    check "and each is told" eventually told 20
    kill_guard KILL
    check "after a kill -9" eventually shmguard mode
    check "everything promised holds" eventually shmguard status
    check "a memfd runs" ./memfd
    check "and is told" eventually told 21
    # Before Linux 6.6 the kernel tells nobody without CAP_NET_ADMIN, which a guard that stands has not any more.
    configure 'unseen = "off"'
    sed -i 's/^unseen = .*/unseen = "report"/' /etc/shmguard/shmguard.toml
    check "it is switched on by a reload" shmguard reload
    if [ "$(printf '6.6\n%s\n' "$(uname -r)" | sort -V | head -n 1)" = 6.6 ]; then
        check "and told" bash -c '. ./checks.sh; ./memfd && eventually told 22'
    else
        refute "which before Linux 6.6 does not hold" shmguard status
        check "and says what to do" says 'start the guard again' shmguard status
    fi
else
    echo "SKIPPED: the kernel tells of execs in the initial pid namespace alone; this is a container"
    refute "status does not promise it" shmguard status
    check "and says why" says 'what runs unseen is not told' shmguard status
fi

echo "== what doctor finds"
check "doctor looks at all of it" says '"id": "memfd"' shmguard doctor --json
check "and the unit hides nothing from it" bash -c '! shmguard doctor | grep -E "^  unknown"'
systemctl stop shmguard
check "without a guard it says so" says '-> systemctl enable --now shmguard' shmguard doctor

exit $failed
