#!/bin/sh
# SPDX-License-Identifier: MIT
# Jobs from the command line while the directory is mounted: the daemon runs them, with the same words, reports and
# records.
. "${top_srcdir:-.}/tests/lib.sh"
requires jq
requires_fuse

mkmodel=$top_builddir/tests/mkmodel
dir=$tmp/models
mnt=$tmp/mnt
mkdir "$dir"
"$mkmodel" --layers=1 "$dir/base"
"$mkmodel" --layers=1 --noise=0.01 "$dir/ft1"
"$mkmodel" --layers=1 --noise=0.01 --noise-seed=2 "$dir/ft2"
"$mkmodel" --layers=4 --hidden=1024 --inter=2816 --vocab=8192 --seed=2 "$dir/big"
cp -a "$dir" "$tmp/copies"
mount_dir "$dir" "$mnt" || skip_all 'no mount can be made here'

is 'the daemon records its mount point' "$(jq -r '"\(.pid) \(.mountpoint)"' "$dir/.tenpak/daemon.json")" "$mount_pid $mnt"
ok 'compress, by the directory' "$tenpak" compress --json "$dir" ft1
cp "$tmp/.out" "$tmp/report.json"
id=$(jq -r .job_id "$tmp/report.json")
is 'the mount has its report' "$(jq -c . "$mnt/.tenpak/jobs/$id/report.json")" "$(jq -c . "$tmp/report.json")"
is 'the directory has its record' "$(jq -r .status "$dir/.tenpak/jobs/$id/status.json")" completed
ok 'the model reads as it was' diff -r "$mnt/ft1" "$tmp/copies/ft1"
ok 'compress, by the mount point' "$tenpak" compress "$mnt/ft2" base=base keep=yes
is 'the same words in a control file' "$(jq -c '.request | del(.verb, .model)' "$dir/.tenpak/jobs/$id/request.json")" \
    "$(echo 'big' >"$mnt/.tenpak/estimate" && cat "$mnt/.tenpak/jobs/last/wait" >/dev/null &&
        jq -c '.request | del(.verb, .model) | {base, codec: "auto", zstd_level: 3, keep: false, lease: true, memory, nice, io}' \
            "$mnt/.tenpak/jobs/last/request.json")"
exits 'refused by the daemon' 1 "$tenpak" compress "$dir" nope
has 'the error of an absent model is the same without a daemon' "$tmp/.out" "there is no model 'nope'"
exits 'a pack already' 1 "$tenpak" compress "$mnt" ft1
exits 'one key too many' 2 "$tenpak" compress "$mnt" ft1 what=ever

# Packed so slowly that this shell comes in time to meddle, however busy the machine is.
slowly='base=none codec=zstd zstd_level=19 threads=1'
# shellcheck disable=SC2086
ok 'a job can be left to the daemon' "$tenpak" compress --no-wait "$dir" big $slowly
id=$(cat "$tmp/.out")
has 'a job that was left to the daemon is listed' "$tmp/.out" '^[0-9]*-[0-9]*-[0-9]*$'
is 'the list is that of the mount' "$("$tenpak" jobs --json "$mnt" | jq -r '.jobs[0].job_id')" "$id"
exits 'its model is held' 11 "$tenpak" estimate --job "$dir" big
ok 'a job of the daemon can be cancelled' "$tenpak" cancel "$dir" "$id"
has 'the cancelled job is reported as ended' "$tmp/.out" "^$id: cancelled"
ok 'the model is as it was' diff -r "$dir/big" "$tmp/copies/big"

# shellcheck disable=SC2086
"$tenpak" compress "$dir" big $slowly 2>/dev/null &
job=$!
ok 'a job is held' hold_job
kill -TERM "$job"
ok 'an interrupted command has the daemon end its job' wait_for 120 is_terminated
kill -CONT "$held"
wait "$job"
is 'Ctrl-C cancels what the daemon runs: exit code' $? 130
is 'the interrupted job has the status cancelled' "$("$tenpak" jobs --json "$dir" | jq -r '.jobs[0].status')" cancelled

# shellcheck disable=SC2086
"$tenpak" compress "$dir" big $slowly >"$tmp/out" 2>&1 &
job=$!
ok 'another job is held' hold_job
kill -KILL "$mount_pid"
wait "$job"
is 'the daemon is killed: exit code' $? 1
has 'the command reports that the job was interrupted' "$tmp/out" 'interrupted'
fusermount3 -u "$mnt" 2>/dev/null || umount -l "$mnt"
ok 'the model is as it was' diff -r "$dir/big" "$tmp/copies/big"
is 'a killed daemon leaves no temporary files' "$(find "$dir" -mindepth 1 -maxdepth 1 -name '.*' ! -name .tenpak)" ''
ok 'without a daemon this process does it' "$tenpak" compress "$dir" big base=none
mount_dir "$dir" "$mnt"
ok 'the next daemon shows the job of the command' jq -e '.status == "completed"' "$mnt/.tenpak/jobs/last/status.json"
ok 'the model reads as it was' diff -r "$mnt/big" "$tmp/copies/big"

keeps() {
    [ "$(jq -r '"\(.pid) \(.mountpoint)"' "$dir/.tenpak/daemon.json")" = "$1 $2" ]
}
first_pid=$mount_pid
mount_dir "$dir" "$tmp/second"
second_pid=$mount_pid
ok 'the first of two mounts answers for the directory' keeps "$first_pid" "$mnt"
mount_pid=$first_pid
unmount "$mnt"
mount_pid=$second_pid
ok 'the second mount becomes the owner when the first has ended' wait_for 120 keeps "$second_pid" "$tmp/second"
"$mkmodel" --layers=1 --noise=0.01 --noise-seed=3 "$dir/ft3"
printf '{"auto_compress": {"enabled": true, "quiet_seconds": 1, "least_bytes": 0}}' >"$dir/.tenpak/tenpak.conf"
ok 'the owner compresses quiet models' wait_for 120 test -f "$dir/ft3.tnpk"
rm "$dir/.tenpak/tenpak.conf"
unmount "$tmp/second"
is 'a daemon that ends leaves the records alone' "$(find "$dir/.tenpak" -mindepth 1 -maxdepth 1 -printf '%f ')" 'jobs '
tap_done
