# What the scripts that run in the booted system look at things with. tests/system/boot puts it beside them.
# shellcheck shell=bash

failed=0
check() { # check WHAT COMMAND...: the command must succeed
    local what=$1
    shift
    if "$@" >/tmp/check.out 2>&1; then
        echo "ok    $what"
    else
        echo "FAIL  $what: $*"
        sed 's/^/      /' /tmp/check.out
        failed=1
    fi
}
refute() {
    local what=$1
    shift
    check "$what" bash -c '! "$@"' - "$@"
}
says() { # says TEXT COMMAND...: the output must hold the text
    local text=$1
    shift
    local output
    output=$("$@" 2>&1)
    case "$output" in
    *"$text"*) true ;;
    *)
        echo "$output"
        false
        ;;
    esac
}
EPERM() { # EPERM PROGRAM: its exec must fail with EPERM
    says 'Operation not permitted' bash -c '"$1"' - "$1"
}
kill_guard() { # kill_guard SIGNAL: sends it to the guard, which must be there
    local main
    main=$(systemctl show -P MainPID shmguard)
    # Pid 0 would be this script.
    [ "$main" != 0 ] && kill "-$1" "$main"
}
eventually() { # eventually COMMAND...: the command must succeed within twenty seconds
    local _
    for _ in $(seq 100); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.2
    done
    "$@"
}
