# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# For shell tests: TAP output, a scratch folder that goes away with everything mounted in it, and waiting for
# what happens elsewhere. Begin a test with
#
#   . "${top_srcdir:-.}/tests/lib.sh"
#
# and end it with tap_done. In $tmp a test may do as it likes; $tenpak is the program.

set -u
export LC_ALL=C
umask 022

top_srcdir=${top_srcdir:-$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)}
top_builddir=${top_builddir:-$PWD}
tenpak=${TENPAK:-$top_builddir/tenpak}
PYTHON=${PYTHON:-python3}
export top_srcdir top_builddir tenpak PYTHON

tap_n=0
tap_failed=0
tap_ended=no

tmp=$(mktemp -d "${TMPDIR:-/tmp}/tenpak-test.XXXXXX") || {
    echo 'Bail out! no temporary directory'
    exit 99
}

# --- What happens when the test ends, however it ends -------------------------------------------------

cleanups=

# cleanup_fn COMMAND: run at the end, latest first.
cleanup_fn() {
    cleanups="$*
$cleanups"
}

# end_child PID [SIGNAL]: for cleanup_fn. Where the child has ended, its number may be another process's by now.
end_child() {
    [ "$(sed -n 's/^PPid:[[:blank:]]*//p' "/proc/$1/status" 2>/dev/null)" = $$ ] && kill -"${2:-TERM}" "$1"
}

# mounts_under DIR: mount points in it, deepest first (the kernel writes blanks as \040).
mounts_under() {
    awk -v dir="$1/" '{ gsub(/\\040/, " ", $5); if (index($5, dir) == 1) print $5 }' /proc/self/mountinfo |
        sort -r
}

tap_cleanup() {
    rc=$?
    trap - EXIT HUP INT TERM
    while [ -n "$cleanups" ]; do
        command=${cleanups%%"
"*}
        cleanups=${cleanups#*"
"}
        eval "$command" </dev/null >/dev/null 2>&1
    done
    mounts_under "$tmp" | while IFS= read -r point; do
        fusermount3 -u "$point" 2>/dev/null || fusermount3 -uz "$point" 2>/dev/null || umount -l "$point"
    done
    chmod -R u+rwX "$tmp" 2>/dev/null
    rm -rf "$tmp"
    if [ "$tap_ended" = no ]; then
        # No plan was printed, so the harness calls this an error; say where it comes from.
        echo "# the test ended before its end (exit $rc)"
        [ "$rc" -ne 0 ] || rc=1
    fi
    exit "$rc"
}
trap tap_cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# --- Checks --------------------------------------------------------------------------------------------

diag() {
    printf '%s\n' "$*" | sed 's/^/# /'
}

pass() {
    tap_n=$((tap_n + 1))
    printf 'ok %d - %s\n' "$tap_n" "$*"
}

fail() {
    tap_n=$((tap_n + 1))
    tap_failed=$((tap_failed + 1))
    printf 'not ok %d - %s\n' "$tap_n" "$*"
}

# ok NAME COMMAND...: the command must succeed; its output is shown when it does not.
ok() {
    name=$1
    shift
    if "$@" >"$tmp/.out" 2>&1; then
        pass "$name"
    else
        rc=$?
        fail "$name"
        diag "exit $rc of: $*"
        tail -n 20 "$tmp/.out" | sed 's/^/#   /'
    fi
}

# not_ok NAME COMMAND...: the command must fail, and not by a signal. Its output stays in $tmp/.out.
not_ok() {
    name=$1
    shift
    "$@" >"$tmp/.out" 2>&1
    rc=$?
    if [ "$rc" -gt 0 ] && [ "$rc" -lt 126 ]; then
        pass "$name"
    else
        fail "$name"
        diag "exit $rc of: $*"
        tail -n 20 "$tmp/.out" | sed 's/^/#   /'
    fi
}

# exits NAME CODE COMMAND...: the command must end with this code. Its output stays in $tmp/.out.
exits() {
    name=$1
    want=$2
    shift 2
    "$@" >"$tmp/.out" 2>&1
    rc=$?
    if [ "$rc" -eq "$want" ]; then
        pass "$name"
    else
        fail "$name"
        diag "exit $rc, want $want, of: $*"
        tail -n 20 "$tmp/.out" | sed 's/^/#   /'
    fi
}

# is NAME GOT WANT
is() {
    if [ "$2" = "$3" ]; then
        pass "$1"
    else
        fail "$1"
        diag "got  '$2'"
        diag "want '$3'"
    fi
}

# has NAME FILE PATTERN: a line of FILE matches the basic regular expression.
has() {
    if grep -q -e "$3" "$2"; then
        pass "$1"
    else
        fail "$1"
        diag "no line of $2 matches: $3"
        head -n 20 "$2" | sed 's/^/#   /'
    fi
}

# has_soon NAME FILE PATTERN: the same of a file that another process writes, which may come to it a moment later.
has_soon() {
    wait_for 120 grep -q -e "$3" "$2"
    has "$@"
}

# skip NAME WHY: one check that cannot be made here.
skip() {
    tap_n=$((tap_n + 1))
    printf 'ok %d - %s # SKIP %s\n' "$tap_n" "$1" "$2"
}

# skip_all WHY: nothing of this test can be done here.
skip_all() {
    tap_ended=yes
    printf '1..0 # SKIP %s\n' "$*"
    exit 0
}

tap_done() {
    tap_ended=yes
    printf '1..%d\n' "$tap_n"
    [ "$tap_failed" -eq 0 ]
    exit
}

# --- What a test may need ------------------------------------------------------------------------------

# requires COMMAND...
requires() {
    for command in "$@"; do
        command -v "$command" >/dev/null 2>&1 || skip_all "$command is not installed"
    done
}

# requires_fuse: a mount can be made here.
requires_fuse() {
    [ -e /dev/fuse ] || skip_all 'there is no /dev/fuse'
    if [ ! -r /dev/fuse ] || [ ! -w /dev/fuse ]; then
        skip_all '/dev/fuse is not for this user'
    fi
    requires fusermount3
}

# requires_user: as_user COMMAND... is a user without privileges, $user_id, that has an account and may mount. As root this
# is 'nobody'; where /dev/fuse is not for everybody the test begins again in a mount name space of its own, with a device
# that is. To be called first, and by tests of nothing else where they can be skipped.
requires_user() {
    user_id=$(id -u)
    if [ "$user_id" -ne 0 ]; then
        as_user() {
            "$@"
        }
        return
    fi
    requires setpriv unshare
    user_id=$(id -u nobody 2>/dev/null) || skip_all 'there is no account nobody'
    user_group=$(id -g nobody)
    as_user() {
        setpriv --reuid="$user_id" --regid="$user_group" --clear-groups -- env HOME="$tmp" "$@"
    }
    chmod 755 "$tmp"
    as_user test -x "$tenpak" || skip_all 'nobody does not get at the program'
    if ! as_user sh -c 'test -r /dev/fuse && test -w /dev/fuse'; then
        [ -z "${TENPAK_TEST_FUSE:-}" ] || skip_all '/dev/fuse is for root alone, and no other can be made'
        cleanup_dir=$tmp
        trap - EXIT HUP INT TERM
        export TENPAK_TEST_FUSE=own
        # The device lies in a file system that goes with the name space.
        exec unshare -m --propagation private sh -c '
            mount -t tmpfs -o mode=755 none "$1" && mknod -m 666 "$1/fuse" c 10 229 &&
                mount --bind "$1/fuse" /dev/fuse
            umount -l "$1"
            rmdir "$1"
            exec sh "$2"' sh "$cleanup_dir" "$0"
    fi
}

# requires_python MODULE...
requires_python() {
    for module in "$@"; do
        "$PYTHON" -c "import $module" >/dev/null 2>&1 || skip_all "Python module $module is not installed"
    done
}

# wait_for SECONDS COMMAND...: until the command succeeds. Polls; gives up with 1. How long something takes is the machine's
# affair: SECONDS are for what never happens, two minutes where nothing says otherwise.
wait_for() {
    left=$(($1 * 50))
    shift
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep 0.02
    done
}

is_mounted() {
    awk -v point="$1" '{ gsub(/\\040/, " ", $5); if ($5 == point) found = 1 } END { exit !found }' \
        /proc/self/mountinfo
}

is_unmounted() {
    ! is_mounted "$1"
}

# Also what has ended and is waited for by nobody yet.
is_gone() {
    ! kill -0 "$1" 2>/dev/null || grep -q '^State:[[:blank:]]*Z' "/proc/$1/status" 2>/dev/null
}

# wait_mounted POINT [SECONDS]
wait_mounted() {
    wait_for "${2:-120}" is_mounted "$1"
}

# wait_unmounted POINT [SECONDS]
wait_unmounted() {
    wait_for "${2:-120}" is_unmounted "$1"
}

# wait_gone PID [SECONDS]
wait_gone() {
    wait_for "${2:-120}" is_gone "$1"
}

# mount_dir DIR POINT [OPTION...]: tenpak in the foreground, as a child; $mount_pid, log in $tmp/mount.log.
mount_dir() {
    mount_from=$1
    mount_point=$2
    shift 2
    mkdir -p "$mount_point"
    "$tenpak" mount -f "$@" "$mount_from" "$mount_point" >>"$tmp/mount.log" 2>&1 &
    mount_pid=$!
    if ! wait_for 120 mounted_or_gone "$mount_pid" "$mount_point" || ! is_mounted "$mount_point"; then
        diag "the mount did not come up"
        sed 's/^/#   /' "$tmp/mount.log"
        return 1
    fi
}

mounted_or_gone() {
    is_mounted "$2" || is_gone "$1"
}

# unmount POINT: and wait for the child that served it.
unmount() {
    fusermount3 -u "$1" || return 1
    wait "$mount_pid"
}

# hold_job: stop the job that the daemon $mount_pid runs, or is about to run; its process is $held. By then that is the job's
# program, and no more the daemon's own copy.
has_job() {
    held=$(cat "/proc/$mount_pid/task"/*/children 2>/dev/null | tr -d ' ')
    [ -n "$held" ] && tr '\0' ' ' <"/proc/$held/cmdline" | grep -q '^tenpak job '
}

is_stopped() {
    grep -q '^State:[[:blank:]]*T' "/proc/$1/status"
}

hold_job() {
    wait_for 120 has_job && kill -STOP "$held" && wait_for 120 is_stopped "$held"
}

# is_terminated: SIGTERM, bit 15, waits for the job that is held.
is_terminated() {
    [ $((0x$(awk '$1 == "ShdPnd:" { print $2 }' "/proc/$held/status") & 0x4000)) -ne 0 ]
}

end_cgroup() {
    [ -d "$cgroup" ] || return 0
    xargs -r kill -KILL <"$cgroup/cgroup.procs"
    wait_for 10 rmdir "$cgroup"
}

# make_cgroup BYTES: one of this test's own that allows so much, in $cgroup.
make_cgroup() {
    for cgroup in /sys/fs/cgroup/memory /sys/fs/cgroup; do
        cgroup=$cgroup/tenpak-test.$$
        mkdir "$cgroup" 2>/dev/null || continue
        cleanup_fn end_cgroup
        for limit in memory.limit_in_bytes memory.max; do
            [ -e "$cgroup/$limit" ] && echo "$1" 2>/dev/null >"$cgroup/$limit" && return 0
        done
        rmdir "$cgroup"
    done
    return 1
}

sha256_of() {
    sha256sum <"$1" | cut -d ' ' -f 1
}
