#!/bin/sh
# SPDX-License-Identifier: MIT
# SIGINT leaves nothing behind; read-only and full disks are reported.
. "${top_srcdir:-.}/tests/lib.sh"

mkmodel=$top_builddir/tests/mkmodel
d=$tmp/models
mkdir "$d"
"$mkmodel" --seed=1 --layers=6 --hidden=512 --inter=1408 --vocab=16000 "$d/model"
listing() {
    (cd "$1" && find . -printf '%P %s %T@\n' | sort)
}
listing "$d" >"$tmp/was"

# A shell starts children in the background with SIGINT ignored: give them the usual one back.
# interrupt BYTES COMMAND...: when so much of what it makes is written; its exit code in $code.
interrupt() {
    bytes=$1
    shift
    "$PYTHON" - "$bytes" "$tmp" "$d" "$@" <<'END' >"$tmp/code"
import os, signal, subprocess, sys, time

def written(top):
    """Bytes in what is being made in this directory; -1: there is nothing yet."""
    made = [os.path.join(top, name) for name in os.listdir(top) if ".tmp-" in name]
    files = made + [os.path.join(at, name) for path in made for at, _, names in os.walk(path) for name in names]
    return sum(os.lstat(path).st_size for path in files) if made else -1

def is_time():
    try:
        return max(written(sys.argv[2]), written(sys.argv[3])) >= int(sys.argv[1])
    except FileNotFoundError:
        return False

p = subprocess.Popen(sys.argv[4:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                     preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
while p.poll() is None and not is_time():
    time.sleep(0.001)
p.send_signal(signal.SIGINT)
print(p.wait())
END
    code=$(cat "$tmp/code")
}

interrupted=0
for bytes in 0 100000 5000000 20000000; do
    interrupt "$bytes" "$tenpak" pack -q -j 1 --base=none -o "$tmp/out.tnpk" "$d/model"
    case $code in
    130)
        interrupted=$((interrupted + 1))
        is "after $bytes bytes: nothing is written" "$(find "$tmp" -maxdepth 1 -name '*tnpk*')" ''
        ;;
    0)
        diag "after $bytes bytes: it ended before the signal"
        rm -f "$tmp/out.tnpk"
        ;;
    *) fail "after $bytes bytes: exit code $code" ;;
    esac
    listing "$d" >"$tmp/now"
    ok "after $bytes bytes: the model is untouched" diff "$tmp/was" "$tmp/now"
done
ok 'at least one was interrupted in the middle' [ "$interrupted" -gt 0 ]

interrupt 100000 "$tenpak" pack -q -j 1 --base=none "$d/model"
if [ "$code" = 130 ]; then
    listing "$d" | grep -v '^ ' >"$tmp/now"
    grep -v '^ ' "$tmp/was" >"$tmp/want"
    ok 'in place: the model is untouched, and nothing beside it' diff "$tmp/want" "$tmp/now"
else
    skip 'in place' "it ended with $code before the signal"
fi

[ -d "$d/model" ] || "$tenpak" unpack -q "$d/model"
ok 'and packs afterwards' "$tenpak" pack -q --base=none "$d/model"
interrupt 1000000 "$tenpak" unpack -q -j 1 -o "$tmp/back" "$d/model.tnpk"
if [ "$code" = 130 ]; then
    is 'unpack: nothing is left' "$(find "$tmp" -maxdepth 1 -name '*back*')" ''
else
    skip 'unpack' "it ended with $code before the signal"
fi
ok 'verify accepts the packs that are there' "$tenpak" verify -q "$d"

# --- a directory that cannot be written to ---
"$mkmodel" "$tmp/small"
if [ "$(id -u)" -ne 0 ]; then
    mkdir "$tmp/locked"
    cp -r "$tmp/small" "$tmp/locked/small"
    chmod 555 "$tmp/locked"
    exits 'read-only directory' 1 "$tenpak" pack --base=none "$tmp/locked/small"
    has 'the message gives the reason' "$tmp/.out" '^tenpak: .*Permission denied'
    chmod 755 "$tmp/locked"
else
    skip 'read-only directory' 'root may write anywhere'
fi

# --- a disk that is full ---
if mkdir "$tmp/disk" && mount -t tmpfs -o size=256k tmpfs "$tmp/disk" 2>/dev/null; then
    cleanup_fn "umount '$tmp/disk'"
    "$mkmodel" --hidden=256 "$tmp/larger"
    "$tenpak" pack --base=none -o "$tmp/disk/full.tnpk" "$tmp/larger" >/dev/null 2>"$tmp/err"
    is 'full disk: exit code' $? 1
    has 'full disk: message' "$tmp/err" '^tenpak: .*No space left on device'
    has 'full disk: hint' "$tmp/err" '^hint: no model was changed'
    is 'full disk: nothing is left' "$(find "$tmp/disk" -mindepth 1)" ''
    mount -o remount,ro "$tmp/disk"
    "$tenpak" pack --base=none -o "$tmp/disk/ro.tnpk" "$tmp/small" >/dev/null 2>"$tmp/err"
    is 'read-only disk: exit code' $? 1
    has 'read-only disk: message' "$tmp/err" '^tenpak: .*Read-only file system'
else
    skip 'full disk' 'only root can mount a small one'
fi
tap_done
