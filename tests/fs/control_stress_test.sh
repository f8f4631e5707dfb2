#!/bin/sh
# SPDX-License-Identifier: MIT
# Eight writers of random commands and eight readers that compare bytes; then the daemon is killed, and every model is
# intact.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
requires jq
mkmodel=$top_builddir/tests/mkmodel
call=$top_builddir/tests/fs/control_call
control=$tmp/mnt/.tenpak
seconds=${TP_SECONDS:-15}
seed=${TP_SEED:-$(date +%s)}
echo "# TP_SEED=$seed"

mkdir "$tmp/store" "$tmp/plain" "$tmp/out"
models='base m1 m2 m3 m4 m5 m6 m7'
for model in $models; do
    "$mkmodel" --hidden=96 --noise="$([ "$model" = base ] && echo 0 || echo 0.01)" --noise-seed="${model#m}" \
        "$tmp/store/$model" 2>/dev/null || "$mkmodel" --hidden=96 "$tmp/store/$model"
    cp -r "$tmp/store/$model" "$tmp/plain/$model"
done
mount_dir "$tmp/store" "$tmp/mnt" -o jobs=3 || exit 1
first_pid=$mount_pid

# random N: a number below N, from the state of this process.
random() {
    state=$(((state * 1103515245 + 12345) % 2147483648))
    drawn=$((state / 65536 % $1))
}

model_of() {
    random 8
    model=$(echo "$models" | cut -d ' ' -f $((drawn + 1)))
}

# One command, of whatever kind; its outcome is a word a line.
one_command() {
    model_of
    random 12
    case $drawn in
    0 | 1 | 2) echo "$model base=auto" | "$call" put "$control/compress" ;;
    3 | 4) echo "$model" | "$call" put "$control/restore" ;;
    5) echo "$model keep=yes" | "$call" put "$control/compress" ;;
    6) echo "$model" | "$call" put "$control/estimate" ;;
    7) echo "$model" | "$call" put "$control/verify" ;;
    8) echo "$model bad=1" | "$call" put "$control/compress" ;;
    9) "$call" noise "$control/estimate" 70000 ;;
    10) readlink "$control/jobs/last" | "$call" put "$control/cancel" ;;
    11) rm -r "$control/jobs/$(readlink "$control/jobs/last")" 2>/dev/null && echo ok || echo ENOENT ;;
    esac
}

writer() {
    state=$((seed + $1))
    while [ ! -e "$tmp/stop" ]; do
        one_command
    done >"$tmp/out/writer.$1" 2>&1
}

# What a reader met; without a daemon only what is about bytes counts.
told() {
    if [ ! -e "$tmp/stop" ]; then
        echo "missed: $1"
    elif [ "${1% differ:*}" != "$1" ]; then
        echo "wrong: $1"
    fi
}

# Every byte of a model, by whatever it is at the moment.
reader() {
    state=$((seed + 100 + $1))
    while [ ! -e "$tmp/stop" ]; do
        model_of
        for file in config.json model.safetensors tokenizer.json; do
            what=$(cmp "$tmp/mnt/$model/$file" "$tmp/plain/$model/$file" 2>&1) || told "$what"
        done
        what=$(jq -e .jobs "$control/status.json" 2>&1) || told "$what"
        echo read
    done >"$tmp/out/reader.$1"
}

pids=
i=0
while [ $i -lt 8 ]; do
    writer $i &
    pids="$pids $!"
    reader $i &
    pids="$pids $!"
    i=$((i + 1))
done
sleep "$seconds"
# On a slow machine until there was something of everything.
was_something() {
    is_gone "$first_pid" || { [ "$(cat "$tmp"/out/reader.* | grep -c '^read$')" -ge 8 ] &&
        [ "$(cat "$tmp"/out/writer.* | grep -c '^ok$')" -ge 8 ] && grep -q -h -x -e EINVAL -e E2BIG "$tmp"/out/writer.*; }
}
wait_for 120 was_something
ok 'the daemon lives' kill -0 "$first_pid"
# In the middle of it all.
touch "$tmp/stop"
kill -KILL "$first_pid"
fusermount3 -uz "$tmp/mnt"
for pid in $pids; do
    wait "$pid"
done
wait "$first_pid" 2>/dev/null
tail -n 2 "$tmp/mount.log" | sed 's/^/# /'

is 'no reader saw another byte' "$(cat "$tmp"/out/reader.* | grep -e 'wrong' -e ' differ:' | head -n 3)" ''
reads=$(cat "$tmp"/out/reader.* | grep -c '^read$')
ok "they read ($reads models)" test "$reads" -ge 8
is 'nor missed a file while there was a daemon' "$(cat "$tmp"/out/reader.* | grep '^missed' | head -n 3)" ''
commands=$(cat "$tmp"/out/writer.* | wc -l)
ok "commands were taken ($(cat "$tmp"/out/writer.* | grep -c '^ok$') of $commands)" \
    test "$(cat "$tmp"/out/writer.* | grep -c '^ok$')" -ge 8
ok 'and refused' grep -q -h -x -e EINVAL -e E2BIG "$tmp"/out/writer.*
is 'with errors that were meant' "$(sed '/ENOTCONN/,$d' "$tmp"/out/writer.* | sort | uniq -c |
    grep -v -w -e ok -e EINVAL -e E2BIG -e EBUSY -e EEXIST -e ENOENT -e EALREADY -e EAGAIN -e ECONNABORTED)" ''

# And everything is whole.
mount_dir "$tmp/store" "$tmp/mnt" || exit 1
ok 'no job is said to run for long' wait_for 120 jq -e '.jobs.running + .jobs.pending == 0' "$control/status.json"
for model in $models; do
    ok "$model is whole" diff -r "$tmp/mnt/$model" "$tmp/plain/$model"
done
echo all >"$control/verify"
is 'every pack verifies' "$(jq -r .status "$control/jobs/last/wait")" completed
for model in $models; do
    [ ! -d "$tmp/store/$model" ] || echo "$model" | "$call" put "$control/compress" >/dev/null
done
for job in "$control"/jobs/2*; do
    cat "$job/wait" >/dev/null
done
ok 'nothing temporary is left' sh -c "! ls -A '$tmp/store' | grep -e '\.tmp-' -e '\.removing'"
ok 'unmounted' unmount "$tmp/mnt"
no_jobs() {
    ! pgrep -f "tenpak job $tmp/"
}
ok 'no process is left' wait_for 120 no_jobs
if grep -q -e 'Sanitizer' -e 'runtime error' "$tmp/mount.log"; then
    fail 'the daemon is clean'
    grep -A 25 -e 'Sanitizer' -e 'runtime error' "$tmp/mount.log" | head -n 60 | sed 's/^/# /'
fi
tap_done
