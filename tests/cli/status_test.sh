#!/bin/sh
# SPDX-License-Identifier: MIT
# status, and mounting with mount(8) and fstab.
. "${top_srcdir:-.}/tests/lib.sh"
requires jq
requires_fuse

mkdir "$tmp/models" "$tmp/mnt"
"$top_builddir/tests/mkmodel" --hidden=256 --inter=512 --vocab=4000 "$tmp/models/one"
"$tenpak" pack -q -b none "$tmp/models/one"
mount_dir "$tmp/models" "$tmp/mnt" -o cache=32M,threads=2 || exit 1

# field FILTER
field() {
    "$tenpak" status --json "$tmp/mnt" | jq -r "$1"
}
is 'schema' "$(field .schema)" tenpak.mount/1
is 'version' "$(field .version)" "$("$tenpak" version --json | jq -r .version)"
is 'process' "$(field .pid)" "$mount_pid"
is 'directory' "$(field .dir)" "$tmp/models"
is 'mount point' "$(field .mountpoint)" "$tmp/mnt"
is 'can be written to' "$(field .writable)" true
is 'threads' "$(field .decode.threads)" 2
is 'nothing is open' "$(field .open_files)" 0
exec 3<"$tmp/mnt/one/config.json" 4>"$tmp/mnt/new"
is 'files that are open' "$(field .open_files)" 2
exec 3<&- 4>&-
is 'nothing again' "$(wait_for 120 sh -c '[ "$("$1" status --json "$2" | jq .open_files)" = 0 ]' sh "$tenpak" "$tmp/mnt" && echo none)" none
before=$(field .decode.bytes)
cat "$tmp/mnt/one/model.safetensors" >/dev/null
ok 'decoding is counted' test "$(field .decode.bytes)" -ge $((before + $(stat -c %s "$tmp/mnt/one/model.safetensors")))
ok 'the cache is filled' test "$(field .cache.used_bytes)" -gt 0
ok 'within its limit' test "$(field .cache.used_bytes)" -le "$(field .cache.max_bytes)"
ok 'and requested' test "$(field '.cache.hits + .cache.misses')" -gt 0
bdi=$(stat -c '%Hd:%Ld' "$tmp/mnt")
is 'read-ahead in effect' "$(field .kernel.read_ahead_kb)" "$(cat "/sys/class/bdi/$bdi/read_ahead_kb")"
is 'and the requested read-ahead' "$(field .kernel.read_ahead_wanted_kb)" 4096
ok 'passthrough, or why not' test "$(field '.passthrough | if .on then "on" else .why_not end | length')" -gt 1
ok 'uptime' test "$(field '.uptime_seconds > 0 and .uptime_seconds < 600')" = true

"$tenpak" status "$tmp/mnt" >"$tmp/text" 2>"$tmp/err"
is 'for people: exit code' $? 0
has 'where from' "$tmp/text" "^directory  *$tmp/models$"
has 'the serving process' "$tmp/text" "process $mount_pid,"
has 'passthrough' "$tmp/text" '^passthrough  '
is 'no errors' "$(cat "$tmp/err")" ''
ok 'unmounted' unmount "$tmp/mnt"

exits 'a directory that is no mount' 1 "$tenpak" status "$tmp/mnt"
has 'says so' "$tmp/.out" "no tenpak mount is at '$tmp/mnt'"
exits 'one that is not there' 1 "$tenpak" status "$tmp/absent"
exits 'an option of fstab with a value it has not' 2 "$tenpak" mount -o defaults=1 "$tmp/models" "$tmp/mnt"
exits 'an unknown option' 2 "$tenpak" mount -o nosuch "$tmp/models" "$tmp/mnt"

# mount(8)'s helper, as mount(8) calls it; with the program of this build.
mkdir "$tmp/bin" "$tmp/bin2"
sed "s|@bindir[@]|$tmp/bin|" "$top_srcdir/cli/mount.tenpak.in" >"$tmp/bin/mount.tenpak"
ln -s "$tenpak" "$tmp/bin/tenpak"
chmod +x "$tmp/bin/mount.tenpak"
helper=$tmp/bin/mount.tenpak
ok 'the helper mounts' "$helper" "$tmp/models" "$tmp/mnt" -s -o rw,noauto,user=me,strictatime,X-mount.mkdir,default_permissions,sync,nosuid,nodev,cache=16M,_netdev,x-gvfs-show -t fuse.tenpak
ok 'with its options' test "$(field '.cache.max_bytes | . > 16000000 and . <= 16777216')" = true
has "and the kernel's" /proc/mounts "^$tmp/models $tmp/mnt fuse.tenpak rw,sync,nosuid,nodev"
ok 'unmounted' "$tenpak" umount "$tmp/mnt"
ok 'read-only' "$helper" "$tmp/models" "$tmp/mnt" -r
is 'the message gives the reason' "$(field .writable)" false
ok 'unmounted' "$tenpak" umount "$tmp/mnt"
ok 'a dry run' "$helper" "$tmp/models" "$tmp/mnt" -f
ok 'mounts nothing' is_unmounted "$tmp/mnt"
exits 'what cannot be mounted' 32 "$helper" "$tmp/absent" "$tmp/mnt"
has 'the message gives the reason' "$tmp/.out" "$tmp/absent"
exits 'too few words' 1 "$helper" "$tmp/models"

if [ "$(id -u)" -eq 0 ] && unshare -m true 2>/dev/null; then
    # In a namespace of its own the helper is where mount(8) looks for it.
    # shellcheck disable=SC2016
    ok 'mount -t fuse.tenpak, mount -t tenpak, a line of fstab, mount -a twice' unshare -m sh -ec '
        mount -t tmpfs none "$1/bin2" && cp -a /sbin/. "$1/bin2" && cp "$1/bin/mount.tenpak" "$1/bin2"
        ln -sf mount.tenpak "$1/bin2/mount.fuse.tenpak"
        mount --bind "$1/bin2" "$(readlink -f /sbin)"
        for type in tenpak fuse.tenpak; do
            mount -t $type -o cache=16M "$1/models" "$1/mnt"
            test -f "$1/mnt/one/config.json"
            umount "$1/mnt"
        done
        echo "$1/models $1/mnt fuse.tenpak noauto,ro,cache=16M,nofail 0 0" >"$1/fstab"
        mount -T "$1/fstab" "$1/mnt"
        test -f "$1/mnt/one/config.json"
        umount "$1/mnt"
        odd="$1/a,b c\\d"
        mkdir "$odd"
        mkdir "$odd/model"
        for dir in "$1/models" "$(printf "%s\n" "$odd" | sed "s/ /\\\\040/; s/\\\\d/\\\\134d/")"; do
            printf "%s $1/mnt fuse.tenpak cache=16M 0 0\n" "$dir" >"$1/fstab"
            mount -T "$1/fstab" -a
            mount -T "$1/fstab" -a
            test "$(grep -c " $1/mnt " /proc/self/mounts)" = 1
            test -f "$1/mnt/one/config.json" || test -d "$1/mnt/model"
            umount "$1/mnt"
        done' sh "$tmp"
else
    skip 'mount -t fuse.tenpak' 'needs root'
fi
tap_done
