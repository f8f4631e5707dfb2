#!/bin/sh
# SPDX-License-Identifier: MIT
# mount and umount from the command line: the daemon, processes that use a mount, refusals, doctor on a mount.
. "${top_srcdir:-.}/tests/lib.sh"
requires jq
requires_fuse

unprivileged() {
    setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"
}

mkdir "$tmp/models" "$tmp/mnt"
"$top_builddir/tests/mkmodel" --seed=1 "$tmp/models/base"
"$top_builddir/tests/mkmodel" --seed=1 --noise=0.02 "$tmp/models/tuned"
(cd "$tmp/models" && find . -type f -exec sha256sum {} + | sort -k 2) >"$tmp/was"
"$tenpak" pack -q --base=base "$tmp/models/tuned"

# In a directory of its own with relative paths: the daemon leaves it.
(cd "$tmp" && "$tenpak" mount -q -o cache=16M,threads=1 models mnt) >"$tmp/out" 2>"$tmp/err"
is 'mount: exit code' $? 0
is 'mount: prints nothing' "$(cat "$tmp/out" "$tmp/err")" ''
ok 'it answers when the command returns' is_mounted "$tmp/mnt"
(cd "$tmp/mnt" && find . -type f -exec sha256sum {} + | sort -k 2) >"$tmp/now"
ok 'every file as it was' diff "$tmp/was" "$tmp/now"
exits 'mounted twice' 11 "$tenpak" mount "$tmp/models" "$tmp/mnt"

"$tenpak" doctor --json "$tmp/mnt" >"$tmp/doctor.json"
is 'doctor looks at this mount alone' \
    "$(jq -r '[.findings[] | select(.check == "read_ahead") | .message | split(":")[0]] | join(" ")' "$tmp/doctor.json")" "$tmp/mnt"

# It is to hold the file open, not to read it.
# shellcheck disable=SC2217
exec 7<"$tmp/mnt/tuned/model.safetensors"
sleep 600 &
holder=$!
exec 7<&-
# Until it is that program.
wait_for 120 grep -qx sleep "/proc/$holder/comm"
"$tenpak" umount "$tmp/mnt" >"$tmp/out" 2>"$tmp/err"
is 'umount of a mount in use: exit code' $? 11
has 'names the process that holds it' "$tmp/err" "process $holder (sleep) has a file of it open"
has 'with a hint' "$tmp/err" '^hint: .*umount -l'
ok 'umount --lazy' "$tenpak" umount --lazy "$tmp/mnt"
ok 'ends at once' is_unmounted "$tmp/mnt"
kill "$holder"
wait "$holder" 2>/dev/null
exits 'umount of no mount' 1 "$tenpak" umount "$tmp/mnt"

ok 'mounted' "$tenpak" mount -q "$tmp/models" "$tmp/mnt"
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null && chmod 755 "$tmp" && unprivileged test -x "$tenpak"; then
    exits 'umount by another user' 1 unprivileged "$tenpak" umount "$tmp/mnt"
    has 'the message gives the reason' "$tmp/.out" "^tenpak: cannot unmount '$tmp/mnt': Operation not permitted"
else
    skip 'umount by another user' 'there is none here'
fi
# What umount itself was given of the mount does not keep it.
# shellcheck disable=SC2016
ok 'umount with a file of it open' sh -c 'exec "$1" umount "$2" 7<"$2/tuned/config.json"' sh "$tenpak" "$tmp/mnt"

# A daemon inherits nothing from its starter.
exec 7>"$tmp/lock"
flock 7
ok 'mounted by a process that holds a lock' "$tenpak" mount -q "$tmp/models" "$tmp/mnt"
exec 7>&-
ok 'which is free when that one ends' flock -n "$tmp/lock" true

mkdir "$tmp/mnt/a place" "$tmp/more"
ok 'a mount within it' "$tenpak" mount -q "$tmp/more" "$tmp/mnt/a place"
exits 'keeps it' 11 "$tenpak" umount "$tmp/mnt"
has 'and is reported' "$tmp/.out" "a file system is mounted at '$tmp/mnt/a place'"
ok 'unmounted one after the other' sh -c '"$1" umount "$2/a place" && rmdir "$2/a place" && "$1" umount "$2"' sh \
    "$tenpak" "$tmp/mnt"

ok 'in the foreground, to be killed' mount_dir "$tmp/models" "$tmp/mnt"
kill -KILL "$mount_pid"
wait "$mount_pid"
exits 'mounted over it' 1 "$tenpak" mount "$tmp/models" "$tmp/mnt"
has 'names the dead mount' "$tmp/.out" 'has died'
exits 'doctor of a dead mount' 1 "$tenpak" doctor --json "$tmp/mnt"
fix=$(jq -r '.findings[] | select(.check == "daemon" and .level == "broken") | .fix' "$tmp/.out")
ok "the printed command fixes it: $fix" sh -c "$(dirname "$tenpak")/$fix"
ok 'the mount was removed' is_unmounted "$tmp/mnt"
rm "$tmp/mount.log"

# Interrupted while its daemon begins, which is held here by a directory that does not answer yet.
mkdir "$tmp/models/inner" "$tmp/second"
child_of() {
    child=$(cat "/proc/$1/task"/*/children 2>/dev/null | tr -d ' ')
    [ -n "$child" ]
}
ok 'the next mount' mount_dir "$tmp/models" "$tmp/mnt"
kill -STOP "$mount_pid"
wait_for 120 is_stopped "$mount_pid"
"$tenpak" mount -q "$tmp/mnt/inner" "$tmp/second" 2>"$tmp/err" &
starter=$!
ok 'a daemon begins' wait_for 120 child_of "$starter"
kill -TERM "$starter"
wait "$starter"
is 'its starter is interrupted: exit code' $? 130
kill -CONT "$mount_pid"
ok 'which ends the daemon' wait_gone "$child"
ok 'and leaves no mount' is_unmounted "$tmp/second"
is 'it says no more than that' "$(cat "$tmp/err")" 'tenpak: interrupted'
ok 'unmounted' unmount "$tmp/mnt"
rm "$tmp/mount.log"

exits 'no such directory' 1 "$tenpak" mount "$tmp/nothing" "$tmp/mnt"
has 'is named' "$tmp/.out" "^tenpak: .*'$tmp/nothing'.*No such file or directory"
exits 'no such mount point' 1 "$tenpak" mount "$tmp/models" "$tmp/nowhere"
exits 'onto itself' 1 "$tenpak" mount "$tmp/models" "$tmp/models"
touch "$tmp/mnt/file"
exits 'onto what is not empty' 1 "$tenpak" mount "$tmp/models" "$tmp/mnt"
rm "$tmp/mnt/file"

ok 'in the foreground' mount_dir "$tmp/models" "$tmp/mnt"
# The mount is there a moment before the word.
wait_for 120 grep -q "is mounted at '$tmp/mnt'" "$tmp/mount.log"
has_soon 'says what is mounted' "$tmp/mount.log" "is mounted at '$tmp/mnt'"
ok 'what slows it is one line, if anything' test "$(grep -c hint: "$tmp/mount.log")" -le 1
"$tenpak" doctor --json "$tmp/mnt" >"$tmp/doctor.json"
# Each of them is a finding of the doctor, too.
sed -n 's/^hint: could be faster: \(.*\); .tenpak doctor .*/\1/p' "$tmp/mount.log" | sed 's/; /\n/g' |
    while read -r slow; do
        case $slow in
        'the kernel reads ahead'*) echo read_ahead ;;
        'requests are at most'*) echo max_pages_limit ;;
        *'requests in flight'*) echo in_flight ;;
        'no passthrough ('*) echo passthrough ;;
        *) echo "what is '$slow'?" ;;
        esac
    done | sort >"$tmp/hinted"
jq -r '.findings[] | select(.level != "ok") | .check' "$tmp/doctor.json" |
    grep -x -e read_ahead -e max_pages_limit -e in_flight -e passthrough | sort >"$tmp/found"
is 'and names what the doctor finds' "$(cat "$tmp/hinted")" "$(cat "$tmp/found")"
ok 'umount' "$tenpak" umount "$tmp/mnt"
wait "$mount_pid"
is 'ends the foreground one: exit code' $? 0
tap_done
