#!/bin/sh
# SPDX-License-Identifier: MIT
# Rare uses of the control directory: odd names and models, error_log with tail -f, a read-only mount.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
requires jq
mkmodel=$top_builddir/tests/mkmodel
call=$top_builddir/tests/fs/control_call
dir=$tmp/store
control=$tmp/mnt/.tenpak

# put FILE TEXT: one write; "ok" or the name of its errno.
put() {
    printf '%s' "$2" | "$call" put "$control/$1"
}

# state: how the job that was asked for last ended.
state() {
    jq -r .status "$control/jobs/last/wait"
}

quotes="a b 'q' \"dq\""
markup='<img src=x onerror=alert(1)>'
unicode=$(printf 'caf\303\251 \360\237\222\245')
broken=$(printf 'n\351')
mkdir "$dir"
"$mkmodel" --layers=1 "$dir/base"
for name in "$quotes" "$markup" "$unicode" -dash k=v 'back\slash' '{json' '#hash' "\$(id)\`id\`" all auto "$broken" "n
l"; do
    "$mkmodel" --layers=1 --noise=0.01 "$dir/$name"
done
"$mkmodel" --layers=1 --shards=3 "$dir/sharded"
"$mkmodel" --layers=1 --dtype=F8_E4M3 "$dir/fp8"
"$mkmodel" --layers=1 --dtype=F32 "$dir/fp32"
mkdir "$dir/nothing" "$dir/nested" "$dir/nested/unet" "$dir/empty"
cp "$dir/base/model.safetensors" "$dir/nested/unet/"
echo '{}' >"$dir/nested/config.json"
: >"$dir/empty/model.safetensors"
cp -a "$dir" "$tmp/plain"
mount_dir "$dir" "$tmp/mnt" || exit 1

# --- Names ----------------------------------------------------------------------------------------------------

# packs COMMAND NAME
packs() {
    is "compress $1" "$(put compress "$1") $(state)" 'ok completed'
    ok 'the model reads as before' diff -r "$originals/$2" "$tmp/mnt/$2"
}
originals=$tmp/plain
packs 'base base=none' base
packs "\"a b 'q' \\\"dq\\\"\" base=base" "$quotes"
packs "{\"model\": \"$markup\", \"base\": \"base\"}" "$markup"
packs '{"model": "caf\u00e9 \ud83d\udca5", "base": "base"}' "$unicode"
packs '-dash base=base' -dash
packs 'k=v base=base' k=v
packs "'back\\slash' base=base" 'back\slash'
packs "'{json' base=base" '{json'
packs '#hash base=base' '#hash'
packs "'\$(id)\`id\`' base=base" "\$(id)\`id\`"
packs 'all base=base' all
packs 'auto base=none' auto
packs 'sharded base=base' sharded
packs 'fp8 base=none' fp8
packs 'fp32 base=base' fp32
packs 'nested base=base' nested
packs 'empty base=none' empty
is 'a directory that holds no model' "$(put compress nothing)" EINVAL
is 'a base that has this name' "$(put estimate "fp32 base='caf$(printf '\303\251') $(printf '\360\237\222\245')'") $(state)" 'ok completed'
for bad in "$broken" '"n
l"' '{"model": "n\nl"}' '{"model": "n\u0000l"}'; do
    is 'a name that JSON or a line cannot hold is refused' "$(put compress "$bad")" EINVAL
done
ok 'a model with such a name can be packed by the command' "$tenpak" pack -q "$dir/$broken"
ok 'a packed model with such a name reads as before' diff -r "$tmp/plain/$broken" "$tmp/mnt/$broken"
"$mkmodel" --layers=1 "$dir/$(printf 'n\352')"
for name in $(printf 'n\352') $(printf 'n\351'); do
    is "metrics keep '$name' apart" \
        "$(grep -c "^tenpak_model_stored_bytes{model=\"n.*$(printf '%s' "$name" | od -An -tx1 | cut -c 5-6)\"" "$control/metrics")" 1
done
is 'no series of the metrics occurs twice' "$(grep -v '^#' "$control/metrics" | sed 's/ [^ ]*$//' | sort | uniq -d)" ''
is 'verify all completes' "$(put verify all) $(state)" 'ok completed'
is 'every verified pack is whole' "$(jq '.result.packs | map(.whole) | all' "$control/jobs/last/report.json")" true

# --- Texts ----------------------------------------------------------------------------------------------------

jq -n '{model: "fp8"}, {model: "fp32", threads: 1}' >"$control/verify"
is 'objects of several lines are separate commands' "$(jq -r .model "$control/jobs/last/wait")" fp32
is 'commands can end with CR' "$(printf 'fp8\r\nfp32\r\n' | "$call" put "$control/verify") $(state)" 'ok completed'
is 'a NUL byte in a command is refused' "$(printf 'fp8\0\n' | "$call" put "$control/verify")" EINVAL
is 'deeply nested JSON is refused' "$(jq -nr '"{\"model\":" * 6000' | "$call" put "$control/verify")" EINVAL
dd if="$control/README" of="$control/compress" bs=1 count=5 2>/dev/null
is 'each write is a command, also of one byte' "$(jq -rs 'last | .bytes' "$control/error_log")" 1
echo fp8 | tee "$control/verify" >/dev/null
is 'tee can write a command' "$(state)" completed
is 'truncation alone submits nothing' "$(: >"$control/verify" && truncate -s 100 "$control/verify" && echo yes)" yes

# --- Following error_log ------------------------------------------------------------------------------------

# The log grows while it is read. A reader that missed dropped lines gets a line of blanks.
exec 4<"$control/error_log"
cat <&4 >"$tmp/followed"
tail -n 1 -f "$control/error_log" >"$tmp/tail" 2>&1 &
tail_pid=$!
cleanup_fn end_child "$tail_pid"
ok 'tail begins with the last line of error_log' wait_for 120 test -s "$tmp/tail"
put compress 'nobody followed=1' >/dev/null
put compress 'nobody followed=2' >/dev/null
tail -n 3 "$control/error_log" >"$tmp/log"
ok 'tail -f follows error_log' wait_for 120 cmp "$tmp/tail" "$tmp/log"
cat <&4 >>"$tmp/followed"
ok 'a reader that continues gets the new lines of error_log' cmp "$tmp/followed" "$control/error_log"
is 'the size of the open error_log grows' "$(stat -L -c %s /proc/self/fd/4)" "$(wc -c <"$tmp/followed")"
i=0
while [ $i -lt 300 ]; do
    echo "nobody many=$i"
    i=$((i + 1))
done | while read -r line; do
    echo "$line" >"$control/compress"
done 2>/dev/null
cat <&4 >>"$tmp/followed"
is 'missed lines read as one line of blanks' "$(grep -c '^ *$' "$tmp/followed")" 1
grep -v '^ *$' "$tmp/followed" | tail -n 256 >"$tmp/log"
ok 'the lines after the missed ones are complete' cmp "$tmp/log" "$control/error_log"
is 'error_log keeps 256 lines' "$(wc -l <"$control/error_log")" 256
is 'a read at the end of error_log returns nothing' "$(cat <&4 | wc -c)" 0
tail -n 1 "$control/error_log" >"$tmp/log"
ok 'tail -f continues after missed lines' wait_for 120 sh -c "tail -n 1 '$tmp/tail' | cmp -s - '$tmp/log'"
exec 4<&-
kill "$tail_pid"

# --- A process that has the lock of the records, and is stopped -----------------------------------------------

holds() {
    ! flock -n "$dir/.tenpak/jobs" true
}
if command -v flock >/dev/null 2>&1; then
    (flock 9 && exec sleep 600) 9<"$dir/.tenpak/jobs" &
    holder=$!
    cleanup_fn "end_child $holder KILL"
    ok 'a process has the lock' wait_for 120 holds
    kill -STOP "$holder"
    writers=
    # More than the mount has threads for them. The kernel sends the writes to one file one by one.
    for i in 1 2 3 4 5 6 7 8; do
        put estimate fp32 >"$tmp/writer.$i" &
        writers="$writers $!"
    done
    ok 'models are read meanwhile' cmp "$tmp/plain/fp32/model.safetensors" "$tmp/mnt/fp32/model.safetensors"
    ok 'documents can be read meanwhile' test "$(jq -r .schema "$control/jobs/last/status.json")" = tenpak.job/1
    for pid in $writers; do
        wait "$pid"
    done
    is 'requesters get EAGAIN' "$(cat "$tmp"/writer.* | sort -u)" EAGAIN
    has 'the message names the file in the way' "$control/error_log" 'holds the lock'
    kill -KILL "$holder"
    wait "$holder" 2>/dev/null
    is 'jobs are accepted after the lock is released' "$(put estimate fp32) $(state)" 'ok completed'
fi

# --- A mount that is only read --------------------------------------------------------------------------------

first_pid=$mount_pid
mount_dir "$dir" "$tmp/ro" -o ro || exit 1
control=$tmp/ro/.tenpak
is 'a read-only mount has the documents' "$(jq -r '.models.packs' "$control/status.json")" "$(jq .models.packs "$tmp/mnt/.tenpak/status.json")"
is 'a read-only mount has the jobs of others' "$(readlink "$control/jobs/last")" "$(readlink "$tmp/mnt/.tenpak/jobs/last")"
is 'a read-only mount reports that it is read-only' "$(jq .mount.writable "$control/status.json")" false
for file in verify estimate compress cancel settings/jobs; do
    is "$file takes nothing" "$(put $file fp8)" EROFS
    ok 'the command file can be read' test -s "$control/$file"
done
id=$(readlink "$control/jobs/last")
not_ok 'a read-only mount does not remove a job' rm -r "$control/jobs/$id"
ok 'the job is kept' test -d "$control/jobs/$id"
ok 'commands by the mount point go to the owner of the directory' "$tenpak" verify --job "$tmp/ro" fp8
mount_pid=$first_pid
unmount "$tmp/mnt"
ok 'commands by a mount point that owns nothing run in the command' "$tenpak" estimate --job "$tmp/ro" fp32
is 'the mount shows the job of the command' "$(jq -r '"\(.verb) \(.model) \(.status)"' "$control/jobs/last/status.json")" 'estimate fp32 completed'
not_ok 'a read-only mount does not own the directory' test -e "$dir/.tenpak/daemon.json"
ok 'unmounted' fusermount3 -u "$tmp/ro"
tap_done
