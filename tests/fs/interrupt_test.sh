#!/bin/sh
# SPDX-License-Identifier: MIT
# Reads of a valid pack that is slow to decode: a killed reader does not wait for them, and other readers are served.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse

mkdir "$tmp/store" "$tmp/short" "$tmp/mnt"
ok 'packs that are slow to read' "$top_builddir/tests/slowpacks" "$tmp/store" 256
ok 'and a file of few chunks' "$top_builddir/tests/slowpacks" "$tmp/short" 12
for pack in "$tmp"/short/*; do
    name=${pack##*/}
    mv "$pack" "$tmp/store/short${name#slow}"
done
mkdir "$tmp/store/plain"
echo text >"$tmp/store/plain/file"

"$tenpak" mount -f "$tmp/store" "$tmp/mnt" 2>"$tmp/mount.log" &
mount_pid=$!
cleanup_fn end_child $mount_pid KILL
ok 'the mount' wait_mounted "$tmp/mnt"

now() {
    date +%s%N
}

# reads PID: it waits for the mount.
reads() {
    grep -q '^State:[[:blank:]]*D' "/proc/$1/status"
}

# What one of the 256 chunks takes here: the bounds below are parts of what all of them would take.
begin=$(now)
ok 'a chunk is read' dd if="$tmp/mnt/slow/w" of=/dev/null bs=4k count=1 iflag=direct
chunk=$(($(now) - begin))

# start FLAG N: N readers of all of the file.
start() {
    readers=
    i=0
    while [ $i -lt "$2" ]; do
        dd if="$tmp/mnt/slow/w" of=/dev/null bs=1M ${1:+iflag=$1} 2>/dev/null &
        readers="$readers $!"
        i=$((i + 1))
    done
    for reader in $readers; do
        wait_for 120 reads "$reader"
    done
}

for way in '' direct; do
    for signal in TERM KILL; do
        start "$way" 1
        begin=$(now)
        kill -$signal "$reader"
        wait "$reader"
        is "${way:-cached}: a reader ends by SIG$signal" "$(kill -l $?)" $signal
        took=$(($(now) - begin))
        [ $took -lt $((64 * chunk)) ]
        is "${way:-cached}: it does not wait for its read" $? 0
    done
    # More than there are threads that serve requests.
    start "$way" 20
    begin=$(now)
    is "${way:-cached}: a plain file is read meanwhile" "$(cat "$tmp/mnt/plain/file")" text
    is "${way:-cached}: another pack is read meanwhile" "$(head -c 100000 "$tmp/mnt/slow-3/w" | wc -c)" 100000
    # shellcheck disable=SC2086
    kill -KILL $readers
    # shellcheck disable=SC2086
    wait $readers
    took=$(($(now) - begin))
    [ $took -lt $((128 * chunk)) ]
    is "${way:-cached}: no reader waits for the others" $? 0
done

# goes_on WAY BYTES ARGUMENTS...: dd counts when it gets this signal. A read does not fail for one that its program handles.
goes_on() {
    way=$1 want=$2
    shift 2
    dd if="$tmp/mnt/short/w" of="$tmp/copy" "$@" 2>"$tmp/dd.log" &
    reader=$!
    wait_for 120 reads $reader
    kill -USR1 $reader
    wait $reader
    is "$way: a reader continues after a signal that it handles" "$? $(wc -c <"$tmp/copy")" "0 $want"
}
goes_on direct 24576 bs=24k count=1 iflag=direct
goes_on cached 49152 bs=1M

start direct 2
kill -TERM $mount_pid
ok 'a signal takes the mount away' wait_unmounted "$tmp/mnt"
kill -TERM $mount_pid 2>/dev/null
begin=$(now)
wait $mount_pid
took=$(($(now) - begin))
[ $took -lt $((64 * chunk)) ]
is 'a second one ends the daemon, which waits for no read' $? 0
# shellcheck disable=SC2086
wait $readers

tap_done
