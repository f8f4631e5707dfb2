#!/bin/sh
# SPDX-License-Identifier: MIT
# Jobs from the command line without a daemon: reports, records, refusals, Ctrl-C, full and read-only disks.
. "${top_srcdir:-.}/tests/lib.sh"
requires jq

mkmodel=$top_builddir/tests/mkmodel
dir=$tmp/models
mkdir "$dir"
"$mkmodel" --layers=1 "$dir/base"
"$mkmodel" --layers=1 --noise=0.01 "$dir/ft 1"
"$mkmodel" --layers=1 --noise=0.01 --noise-seed=2 "$dir/ft'2"
cp -a "$dir" "$tmp/copies"

# same MODEL: it is as it was.
same() {
    diff -r "$dir/$1" "$tmp/copies/$1"
}

# latest FILE FILTER: of the youngest record.
latest() {
    jq -r "$2" "$dir/.tenpak/jobs/$(find "$dir/.tenpak/jobs" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -t - -k 1,2 -k 3n | tail -n 1)/$1"
}

# --- What is asked is done, and recorded ---

ok 'estimate' "$tenpak" estimate --job --json "$dir" 'ft 1'
cp "$tmp/.out" "$tmp/report.json"
is 'the report is the record'\''s' "$(jq -c . "$tmp/report.json")" "$(latest report.json . | jq -c .)"
is 'an interval around the expected value' "$(jq '.result | .stored_bytes_low <= .stored_bytes and .stored_bytes <= .stored_bytes_high' "$tmp/report.json")" true
ok 'compress DIR MODEL' "$tenpak" compress "$dir" 'ft 1'
has 'printed for people' "$tmp/.out" '^ft 1: .* smaller'
ok 'compress DIR/MODEL' "$tenpak" compress --json "$dir/ft'2/" base=base keep=yes id=once
cp "$tmp/.out" "$tmp/report.json"
is 'its state' "$(jq -r .status "$tmp/report.json")" completed
is 'against the base' "$(jq -r .result.base "$tmp/report.json")" base
is 'the directory is kept' "$(jq -r .result.original_removed "$tmp/report.json")" false
is 'the size is that of the pack' "$(jq .result.stored_bytes "$tmp/report.json")" "$(stat -c %s "$dir/ft'2.tnpk")"
is 'the requester' "$(latest request.json '.requester | "\(.uid) \(.command)"')" "$(id -u) tenpak"
is 'the request' "$(latest request.json '.request | "\(.base) \(.keep) \(.id)"')" 'base true once'
is 'exit' "$(latest exit .)" 0
ok 'the same once more is the same job' "$tenpak" compress --json "$dir/ft'2" base=base keep=yes id=once
is 'by its id' "$(jq -r .job_id "$tmp/.out")" "$(jq -r .job_id "$tmp/report.json")"
ok 'verify --job DIR' "$tenpak" verify --job --json "$dir"
is 'all packs' "$(jq .result.verified "$tmp/.out")" 3
ok 'verify --job DIR MODEL' "$tenpak" verify --job "$dir" 'ft 1.tnpk' io=idle
ok 'restore' "$tenpak" restore "$dir/ft 1"
ok 'as it was' same 'ft 1'
ok 'in the directory itself' sh -c "cd '$dir' && '$tenpak' compress 'ft 1' && '$tenpak' restore 'ft 1'"
ok 'as it was' same 'ft 1'
"$tenpak" jobs --json "$dir" >"$tmp/jobs.json"
is 'the list has every record' "$(jq '.jobs | length' "$tmp/jobs.json")" "$(find "$dir/.tenpak/jobs" -mindepth 1 -maxdepth 1 -type d | wc -l)"
is 'the newest first' "$(jq -r '.jobs[0].verb' "$tmp/jobs.json")" restore
is 'nothing else is in the directory' "$(find "$dir" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | tr '\n' ' ')" \
    ".tenpak base.tnpk ft 1 ft'2 ft'2.tnpk "
is 'records are for their owner alone' "$(stat -c %a "$dir/.tenpak/jobs")" 700

# --- What is wrong ---

exits 'an unknown key' 2 "$tenpak" compress "$dir" 'ft 1' bsae=x
has 'the message gives the reason' "$tmp/.out" "no key 'bsae'"
exits 'a value out of bounds' 2 "$tenpak" compress "$dir" 'ft 1' nice=20
exits 'a name that leads out' 2 "$tenpak" compress "$dir" ../x
exits 'no such model' 1 "$tenpak" compress "$dir" nope
has 'the message gives the reason' "$tmp/.out" "there is no model 'nope'"
exits 'no such directory' 1 "$tenpak" compress "$tmp/nope" x
exits 'a pack already' 1 "$tenpak" compress "$dir" base
is 'without a hint at an option that there is not' "$(grep -c '^hint: ' "$tmp/.out")" 0
exits 'no daemon to leave it to' 1 "$tenpak" compress -n "$dir" 'ft 1'
exits 'no such job' 1 "$tenpak" cancel "$dir" 20200101-000000-1
exits 'an ended job' 1 "$tenpak" cancel "$dir" "$(jq -r '.jobs[0].job_id' "$tmp/jobs.json")"
exits 'the base of others' 11 "$tenpak" restore "$dir" base
has 'the message gives the reason' "$tmp/.out" "is the base of"
is 'and in the report' "$(latest report.json '"\(.status) \(.error.name)"')" 'failed EBUSY'
printf x | dd of="$dir/ft'2.tnpk" bs=1 seek=3000 conv=notrunc 2>/dev/null
exits 'damage' 4 "$tenpak" verify --job "$dir" "ft'2"
rm "$dir/ft'2.tnpk"
mkdir -p "$dir/.tenpak"
echo '{"jobs": {"slots": "many"}}' >"$dir/.tenpak/tenpak.conf"
exits 'a wrong tenpak.conf' 1 "$tenpak" compress "$dir" 'ft 1'
has 'the message names the key' "$tmp/.out" "'jobs.slots'"
rm "$dir/.tenpak/tenpak.conf"

# --- Ctrl-C, another's cancel, kill -9 ---

# Packed so slowly that this shell comes in time to meddle, however busy the machine is.
slowly='base=none codec=zstd zstd_level=19 threads=1'
"$mkmodel" --layers=4 --hidden=1024 --inter=2816 --vocab=8192 "$dir/big"
cp -a "$dir/big" "$tmp/copies/big"
running() {
    "$tenpak" jobs --json "$dir" | jq -e '.jobs[0] | .status == "running" and .model == "big" and .progress.stage == "pack"'
}
left() {
    find "$dir" -maxdepth 1 -name '.*' ! -name .tenpak ! -path "$dir" | wc -l
}
# stopped NAME STATE CODE: what became of the job in $!.
stopped() {
    wait "$job" 2>/dev/null
    is "$1: exit code" $? "$3"
    wait_for 120 sh -c "'$tenpak' jobs --json '$dir' | jq -e '.jobs[0].status == \"$2\"'"
    is "$1: state" "$("$tenpak" jobs --json "$dir" | jq -r '.jobs[0].status')" "$2"
    ok "$1: the model is as it was" same big
    is "$1: nothing is left" "$(left)" 0
    is "$1: no pack" "$(find "$dir" -name big.tnpk)" ''
}
# shellcheck disable=SC2086
"$tenpak" compress "$dir" big $slowly 2>/dev/null &
job=$!
wait_for 120 running
kill -INT "$job"
# A shell starts what runs in the background deaf to SIGINT.
kill -TERM "$job"
stopped 'Ctrl-C' cancelled 130
# shellcheck disable=SC2086
"$tenpak" compress "$dir" big $slowly 2>/dev/null &
job=$!
wait_for 120 running
exits 'the model is held' 11 "$tenpak" estimate --job "$dir" big
ok 'cancel from elsewhere' "$tenpak" cancel "$dir" "$("$tenpak" jobs --json "$dir" | jq -r '.jobs[0].job_id')"
stopped 'cancelled from elsewhere' cancelled 130
# shellcheck disable=SC2086
"$tenpak" compress "$dir" big $slowly 2>/dev/null &
job=$!
wait_for 120 running
kill -KILL "$job"
stopped 'kill -9' interrupted 137

# --- A log of many lines ---

mkdir "$tmp/long"
part=$(printf '%0200d' 0)
mkdir -p "$tmp/long/m/$part/$part/$part"
echo '{}' >"$tmp/long/m/config.json"
truncate -s 640M "$tmp/long/m/$part/$part/$part/$part.gguf"
ok 'a pack of one chunk, again and again' "$tenpak" pack -q "$tmp/long/m"
printf 'XXXX' | dd of="$tmp/long/m.tnpk" bs=1 seek=20 conv=notrunc 2>/dev/null
exits 'that is damaged' 4 "$tenpak" verify -q --job "$tmp/long" m
log=$(echo "$tmp"/long/.tenpak/jobs/2*/log)
is 'has a log of no more than a MiB, and its end' "$(($(stat -c %s "$log") <= 1048576 + 4096))" 1
is 'that is full' "$(($(stat -c %s "$log") > 1000000))" 1
has 'and says how much is left out' "$log" 'the log is full: [0-9]* more lines, [0-9]* bytes, are left out$'
has 'and why the job failed' "$log" 'error: '

# --- Disks that are full, and read-only ones ---

if [ "$(id -u)" -eq 0 ] && mkdir "$tmp/small" && mount -t tmpfs -o size=1m tenpak-test "$tmp/small" 2>/dev/null; then
    cleanup_fn umount "$tmp/small"
    "$mkmodel" --layers=1 "$tmp/small/m"
    cp -a "$tmp/small/m" "$tmp/copies/m"
    dd if=/dev/zero of="$tmp/small/fill" bs=4k 2>/dev/null
    exits 'no space for a record' 1 "$tenpak" compress "$tmp/small" m
    has 'the message gives the reason' "$tmp/.out" 'No space left on device'
    ok 'the model is as it was' diff -r "$tmp/small/m" "$tmp/copies/m"
    is 'there is no record' "$(find "$tmp/small/.tenpak" -name status.json 2>/dev/null)" ''
    rm "$tmp/small/fill"
    ok 'with space it succeeds' "$tenpak" compress "$tmp/small" m
    mount -o remount,ro "$tmp/small"
    exits 'a read-only directory' 1 "$tenpak" restore "$tmp/small" m
    has 'the message gives the reason' "$tmp/.out" 'Read-only file system'
    ok 'its records can be read' "$tenpak" jobs --json "$tmp/small"
    is 'as they were' "$(jq -r '.jobs[0].status' "$tmp/.out")" completed
    mount -o remount,rw "$tmp/small"
else
    skip 'full and read-only disks' 'no tmpfs can be mounted here'
fi
tap_done
