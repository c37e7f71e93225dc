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
