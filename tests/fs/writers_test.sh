#!/bin/sh
# SPDX-License-Identifier: MIT
# Writing to a model through the mount while it is packed: data of successful writes is there afterwards; other writers
# get an error.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse

d=$tmp/models mnt=$tmp/mnt
mkdir -p "$d/ft/sub" "$mnt"
echo '{}' >"$d/ft/config.json"
head -c 300000 /dev/urandom >"$d/ft/weights.bin"
echo text >"$d/ft/sub/log"
ok 'a directory is mounted' "$tenpak" mount -q "$d" "$mnt"

exec 5>>"$mnt/ft/sub/log"
exits 'a model with a file that is open for writing in the mount is not packed' 11 "$tenpak" pack -q -b none "$d/ft"
has 'the file is named' "$tmp/.out" "sub/log' is open for writing"
echo more >&5
exec 5>&-
is 'the written data is there' "$(cat "$d/ft/sub/log")" 'text
more'

# The last close reaches the daemon after it has returned.
is_packed() { "$tenpak" pack -q -b none "$d/ft" 2>/dev/null; }
exec 6<"$mnt/ft/sub/log"
cd "$mnt/ft/sub" || exit 1
ok 'it is packed when the file is closed' wait_for 120 is_packed
fails_with() { ! sh -c "$1" 2>"$tmp/err" && grep -q "$2" "$tmp/err"; }
ok 'a file that is packed is not written to by its path' fails_with "echo x >>'$mnt/ft/sub/log'" 'Read-only file system'
ok 'nor from within its directory' fails_with 'echo x >>log' 'Read-only file system'
ok 'nor through a descriptor that was open for reading' fails_with 'echo x >>/proc/self/fd/6' 'file'
ok 'nor made shorter' fails_with "truncate -s 0 /proc/self/fd/6" 'file'
is 'and it has the written data' "$(cat <&6)" 'text
more'
cd "$tmp" || exit 1
exec 6<&-
ok 'the mount ends' "$tenpak" umount "$mnt"
ok 'the pack is whole' "$tenpak" verify -q "$d/ft"
tap_done
