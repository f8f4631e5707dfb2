#!/bin/sh
# SPDX-License-Identifier: MIT
# The control directory as its users have it: echo, cat, ls, jq.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
requires jq
mkmodel=$top_builddir/tests/mkmodel
call=$top_builddir/tests/fs/control_call
control=$tmp/mnt/.tenpak

# put FILE TEXT: one write; "ok" or the name of its errno.
put() {
    printf '%s' "$2" | "$call" put "$control/$1"
}

# refused WHAT FILE TEXT ERRNO WORD: the write fails so, and error_log says why with this word.
refused() {
    is "$1" "$(put "$2" "$3")" "$4"
    is "$1: recorded in error_log" \
        "$(jq -r "select(.name == \"$4\" and .file == \"$2\") | .message" "$control/error_log" | tail -n 1 |
            grep -c -i -e "$5")" 1
}

# job_state ID
job_state() {
    jq -r .status "$control/jobs/$1/status.json"
}

mkdir "$tmp/store" "$tmp/plain"
"$mkmodel" --hidden=128 "$tmp/store/base"
for name in a b c d e; do
    "$mkmodel" --hidden=128 --noise=0.01 --noise-seed="$(printf '%d' "'$name")" "$tmp/store/$name"
    cp -r "$tmp/store/$name" "$tmp/plain/$name"
done
"$mkmodel" --hidden=512 --inter=1024 --vocab=16000 --seed=9 "$tmp/store/big"
# So that it can be stopped, however late this shell comes to it.
slowly='big codec=zstd zstd_level=12 threads=1'
cp -r "$tmp/store/big" "$tmp/plain/big"
ln -s "$tmp/plain" "$tmp/store/out"
mount_dir "$tmp/store" "$tmp/mnt" || exit 1

# --- The tree ---------------------------------------------------------------------------------------------

is '.tenpak is not listed' "$(ls -A "$tmp/mnt" | grep -c tenpak)" 0
is '.tenpak can be opened by name' "$(stat -c %F "$control")" directory
is '.tenpak is accessible to its owner only' "$(stat -c '%a %u' "$control")" "700 $(id -u)"
is 'files of .tenpak are accessible to their owner only' "$(stat -c %a "$control/status.json" "$control/compress" | sort -u)" 600
ls "$control" >"$tmp/names"
is 'the entries of .tenpak' "$(tr '\n' ' ' <"$tmp/names")" \
    'README cancel candidates.json compress dashboard.html error_log estimate evaluate events hardware.json jobs metrics models models.json optimize restore schema settings status.json verify '
sizes=
for f in "$control"/* "$control"/schema/* "$control"/models/* "$control"/settings/*; do
    [ -f "$f" ] || continue
    exec 4<"$f"
    size=$(stat -L -c %s /proc/self/fd/4)
    [ "$size" = "$(cat <&4 | wc -c)" ] || sizes="$sizes $f"
    exec 4<&-
done
is 'an open document has its true size' "$sizes" ''
is 'a manifest has size 0 until it is opened' "$(stat -c %s "$control/models/a.json")" 0
is 'a constant document has its size before it is opened' "$(stat -c %s "$control/README")" "$(cat "$control/README" | wc -c)"
printf 'no pack at all, but long enough to be one: %0200d' 0 >"$tmp/store/broken.tnpk"
is 'the manifest of a broken pack exists' "$(stat -c %F "$control/models/broken.json")" 'regular empty file'
not_ok 'the manifest of a broken pack cannot be opened' cat "$control/models/broken.json"
rm "$tmp/store/broken.tnpk"
not_ok 'there is no manifest without a model' stat "$control/models/broken.json"
"$call" reopened "$control/models/a.json" >"$tmp/reopened"
is 'an open manifest can be reopened through /proc' "$(jq -r .name "$tmp/reopened")" a
good=yes
for f in "$control"/*.json "$control"/models/*.json "$control"/schema/*.json; do
    jq -e 'type == "object" or type == "array"' "$f" >/dev/null || good=$f
done
is 'every .json is JSON' "$good" yes
is 'a command file explains itself' "$(grep -c 'base=auto' "$control/compress")" 1
is 'README says how to begin' "$(grep -c 'compress' "$control/README" | sed 's/[1-9][0-9]*/some/')" some
is 'models/ has a manifest each' "$(ls "$control/models" | tr '\n' ' ')" 'a.json b.json base.json big.json c.json d.json e.json out.json '
ok 'tar can read .tenpak' tar -cf /dev/null --exclude=status.json --exclude=metrics --exclude=dashboard.html --exclude=models.json \
    -C "$tmp/mnt" .tenpak
is 'inode numbers are unique in .tenpak' "$(find "$control" -printf '%i\n' | sort | uniq -d)" ''
is 'DIR/.tenpak is not writable by others' "$(find "$tmp/store/.tenpak" -perm /022)" ''
is 'DIR/.tenpak does not show through' "$(ls "$tmp/store/.tenpak" | grep -c daemon.json) $(ls "$control" | grep -c daemon.json)" '1 0'

# --- Three at once ----------------------------------------------------------------------------------------

printf 'a base=base\nb base=base\nc\n' >"$control/compress"
is 'three commands in one write are three jobs' "$(ls -d "$control"/jobs/2* | wc -l)" 3
is 'wait blocks until the end' "$(jq -r .status "$control/jobs/last/wait")" completed
for id in $(ls "$control/jobs" | grep -v last); do
    cat "$control/jobs/$id/wait" >"$tmp/end"
    is "job $id: completed" "$(jq -r .status "$tmp/end") $(cat "$control/jobs/$id/exit")" 'completed 0'
    is "job $id: a report" "$(jq -e '.result.stored_bytes > 0' "$control/jobs/$id/report.json")" true
    is "job $id: the requester" "$(jq -r '.requester.uid' "$control/jobs/$id/status.json")" "$(id -u)"
done
for model in a b c; do
    ok "'$model' is a pack at once, and the same bytes" diff -r "$tmp/mnt/$model" "$tmp/plain/$model"
    ok "'$model' is a file in DIR" test -f "$tmp/store/$model.tnpk"
done
is 'models.json shows the new packs' "$(jq -r '.models[] | select(.name == "b") | .base' "$control/models.json")" base
is 'status.json counts the completed jobs' "$(jq .jobs.completed "$control/status.json")" 3
is 'metrics can be read' "$(grep -c '^tenpak_' "$control/metrics" | sed 's/[1-9][0-9]*/some/')" some

# --- Replies ----------------------------------------------------------------------------------------------

exec 3<>"$control/estimate"
echo 'd base=base' >&3
read -r reply <&3
is 'the descriptor that wrote reads the job' "$(printf '%s' "$reply" | jq -r .job_id)" "$(readlink "$control/jobs/last")"
echo 'd wrong=1' >&3 2>/dev/null
read -r reply <&3
is 'the descriptor that wrote reads the error' "$(printf '%s' "$reply" | jq -r '.error.name, .error.column' | tr '\n' ' ')" 'EINVAL 3 '
exec 3>&-
cat "$control/jobs/last/wait" >/dev/null
is 'the result of an estimate is in its report' "$(jq -e '.result | type == "object"' "$control/jobs/last/report.json")" true
is 'a command can be JSON' "$(put estimate '{"model": "d", "base": "base", "id": "k1"}')" ok
first=$(readlink "$control/jobs/last")
is 'a command can be repeated with its id' "$(put estimate 'd base=base id=k1')" ok
is 'a repeated command gives the same job' "$(readlink "$control/jobs/last")" "$first"
printf 'd id=k2' >>"$control/estimate"
is 'a command can be appended without a newline' "$(jq -r .retry_id "$control/jobs/last/status.json")" k2
cat "$control/jobs/last/wait" >/dev/null

# --- Errors: each with its errno and its line in error_log ------------------------------------------------

refused 'an unknown key' compress 'd bases=base' EINVAL bases
refused 'a quote without its end' compress 'd base="x' EINVAL quot
refused 'a value out of range' compress 'd nice=99' ERANGE nice
refused 'no such model' compress 'nobody' ENOENT nobody
refused 'no such base' compress 'd base=nobody' ENOENT nobody
refused 'no such job' cancel '20200101-000000-1' ENOENT 20200101
refused 'a name that is taken' compress 'a' EEXIST pack
refused 'no such reference' evaluate 'd reference=nobody' ENOENT nobody
refused 'a stride above the context' evaluate 'd context=8 stride=9' EDOM stride
refused 'no such hardware' optimize 'd hardware=abacus' ENOENT 'local, t4'
refused 'no such candidate' optimize 'd candidates=abacus' ENOENT 'fp16, int4_residual'
refused 'no such target' compress 'd target=abacus' ENOENT abacus
refused 'a target and a key of exact packs' compress 'd target=awq codec=zstd' EDOM codec
is 'too long a text' "$("$call" noise "$control/compress" 1048576)" E2BIG
is 'too long a text: recorded' "$(jq -s 'last | .name, .bytes > 65536' "$control/error_log" | tr '\n' ' ')" '"E2BIG" true '
is 'random bytes of a permitted length' "$("$call" noise "$control/compress" 60000)" EINVAL
is 'a piece of a longer text' "$(head -c 8192 /dev/zero | tr '\0' x | "$call" put "$control/compress")" EINVAL
refused 'one of several lines is wrong' compress 'd
e nice=99' ERANGE nice
is 'no command of a text with an error is accepted' "$(find "$control/jobs/" -mindepth 1 -maxdepth 1 -newer "$tmp/end" -exec jq -r 'select(.verb == "compress" and .status != "completed") | .job_id' {}/status.json \; 2>/dev/null)" ''
is 'error_log records line and column' "$(jq -s 'last | .line, .column' "$control/error_log" | tr '\n' ' ')" '2 3 '
is 'error_log records the writer' "$(jq -s 'last | .uid' "$control/error_log") $(jq -rs 'last | .command' "$control/error_log")" "$(id -u) control_call"
for bad in '../plain/a' "$tmp/plain/a" 'd/..' '.' '..' '.tenpak' 'd/../../plain/a' '/' 'a.tnpk/x'; do
    is "a name outside DIR: '$bad'" "$(put compress "$bad")" EINVAL
done
is 'a symbolic link is not a model' "$(put compress 'out')" EINVAL
is 'a symbolic link is not a base' "$(put compress 'd base=out')" EINVAL
is 'nothing was taken from outside' "$(find "$tmp/plain" -name '*.tnpk' | wc -l)" 0
is 'a document cannot be written' "$(put status.json x)" EACCES
not_ok 'no file can be created in .tenpak' sh -c ": >'$control/new'"
not_ok 'no directory can be created in .tenpak' mkdir "$control/new"
not_ok 'a document cannot be renamed' mv "$control/README" "$control/READ"
not_ok 'a document cannot be removed' rm -f "$control/README"
not_ok '.tenpak cannot be removed' rmdir "$control"
not_ok 'a document cannot be linked' ln "$control/README" "$tmp/mnt/link"
not_ok 'the mode of a document cannot be changed' chmod 777 "$control/status.json"

# --- A job that runs: busy, progress, poll, cancel ---------------------------------------------------------

echo "$slowly" >"$control/compress"
id=$(readlink "$control/jobs/last")
hold_job || fail 'a job of big is held'
refused 'the model is held by another job' compress 'big' EBUSY big
is 'the process of a job has no descriptor of the daemon' "$(find "/proc/$held/fd" -printf '%l\n' | grep -c -e /dev/fuse -e socket -e inotify -e eventfd)" 0
timeout 0.3 cat "$control/jobs/$id/wait"
is 'a wait can be interrupted' $? 124
is 'a signal interrupts a wait' "$("$call" interrupted "$control/jobs/$id/wait")" EINTR
i=0
waiting=
while [ $i -lt 40 ]; do
    cat "$control/jobs/$id/wait" >"$tmp/wait.$i" &
    waiting="$waiting $!"
    i=$((i + 1))
done
ok 'the mount answers while forty readers wait' cmp "$tmp/mnt/a/model.safetensors" "$tmp/plain/a/model.safetensors"
exec 4<"$control/jobs/$id/status.json"
"$call" woken "$control/jobs/$id/status.json" "echo $id >'$control/cancel'; kill -CONT $held" >"$tmp/news" 2>/dev/null
is 'poll returns for a reader of a status' "$(jq -r .job_id "$tmp/news")" "$id"
for pid in $waiting; do
    wait "$pid"
done
is 'all waiting readers see the end' "$(cat "$tmp"/wait.* | jq -r .status | sort | uniq -c | tr -s ' ')" ' 40 cancelled'
is 'a snapshot does not change' "$(jq -r .status <&4)" running
exec 4<&-
is 'the exit of a cancelled job' "$(cat "$control/jobs/$id/exit")" 125
ok 'a cancelled job leaves the model' diff -r "$tmp/mnt/big" "$tmp/plain/big"
is 'a cancelled job leaves no temporary files' "$(ls -A "$tmp/store" | grep -c -e tmp -e removing)" 0
is 'a job that has ended cannot be cancelled' "$(put cancel "$id")" EALREADY
is 'poll returns for a reader of the totals' "$("$call" news "$control/status.json" "echo e >'$control/estimate'" 2>"$tmp/early" |
    jq '.jobs.completed + .jobs.running + .jobs.pending > 3')" true
is 'poll does not return before a change' "$(cat "$tmp/early")" ''
cat "$control/jobs/last/wait" >/dev/null
"$call" more "$control/events" "echo e id=k3 >'$control/estimate'" >"$tmp/events" 2>/dev/null
is 'events come since the last read' "$(jq -r '.job.retry_id // empty' "$tmp/events" | sort -u)" k3
cat "$control/jobs/last/wait" >/dev/null
is 'a new reader gets all events' "$(cat "$control/events" | head -n 1 | jq .seq)" 1

# --- Reading in every way ----------------------------------------------------------------------------------

for f in README schema/status.json jobs/last/report.json models/a.json; do
    cat "$control/$f" >"$tmp/read"
    for how in private shared; do
        "$call" $how "$control/$f" >"$tmp/mapped"
        ok "$f mapped $how" cmp "$tmp/read" "$tmp/mapped"
    done
    ok "$f by tail" sh -c "tail -c +1 '$control/$f' | cmp - '$tmp/read'"
    ok "$f by dd" sh -c "dd if='$control/$f' bs=7 2>/dev/null | cmp - '$tmp/read'"
    ok "$f copied" sh -c "cp '$control/$f' '$tmp/copied' && cmp '$tmp/copied' '$tmp/read'"
done
echo "$slowly" >"$control/compress"
hold_job || fail 'a job of big is held'
timeout 600 tail -f "$control/jobs/last/log" >"$tmp/tail" 2>&1 &
tail_pid=$!
# A file that is open while its model is packed keeps its bytes.
exec 5<"$tmp/mnt/big/model.safetensors"
head -c 1000 <&5 >"$tmp/start"
kill -CONT "$held"
is 'a model in use is compressed' "$(jq -r .status "$control/jobs/last/wait")" completed
cat <&5 >>"$tmp/start"
exec 5<&-
ok 'a reader that had the file open reads to its end' cmp "$tmp/start" "$tmp/plain/big/model.safetensors"
ok 'the next reader reads the pack' cmp "$tmp/mnt/big/model.safetensors" "$tmp/plain/big/model.safetensors"
cat "$control/jobs/last/log" >"$tmp/log"
ok 'tail -f follows the log to its end' wait_for 120 cmp "$tmp/tail" "$tmp/log"
kill "$tail_pid"
echo big >"$control/restore"
is 'the restore completes' "$(jq -r .status "$control/jobs/last/wait")" completed
ok 'a restored model is plain at once' diff -r "$tmp/mnt/big" "$tmp/plain/big"
ok 'a restored model can be written' touch "$tmp/mnt/big/new"
rm "$tmp/mnt/big/new"
echo all >"$control/verify"
is 'the verification completes' "$(jq -r .status "$control/jobs/last/wait")" completed

# --- A second mount of the directory --------------------------------------------------------------------------

first_pid=$mount_pid
mount_dir "$tmp/store" "$tmp/second" || exit 1
echo all >"$tmp/second/.tenpak/verify"
id=$(readlink "$tmp/second/.tenpak/jobs/last")
is 'a second mount of the directory runs its jobs' "$(jq -r .status "$tmp/second/.tenpak/jobs/$id/wait")" completed
is 'the first mount shows the job of the second' "$(jq -r .status "$control/jobs/$id/wait")" completed
ok 'unmounted' unmount "$tmp/second"
mount_pid=$first_pid

# --- Forgetting -------------------------------------------------------------------------------------------

id=$(readlink "$control/jobs/last")
ok 'rm -r forgets a job' rm -r "$control/jobs/$id"
is 'nothing is left of a forgotten job' "$(ls "$control/jobs" "$tmp/store/.tenpak/jobs" | grep -c "$id")" 0
echo "$slowly" >"$control/compress"
id=$(readlink "$control/jobs/last")
hold_job || fail 'a job of big is held'
rm -r "$control/jobs/$id" &
remover=$!
ok 'rm -r cancels a job that runs' wait_for 120 is_terminated
kill -CONT "$held"
ok 'rm -r of a running job ends when the job has ended' wait "$remover"
ok 'a job that rm -r cancelled leaves the model' diff -r "$tmp/mnt/big" "$tmp/plain/big"

# --- Settings ------------------------------------------------------------------------------------------------

is 'a setting reads its value' "$(cat "$control/settings/jobs" | grep -c '^[0-9]*$')" 1
echo 3 >"$control/settings/jobs"
is 'a setting can be changed' "$(cat "$control/settings/jobs")" 3
refused 'a setting beyond its bounds' settings/jobs 1000 ERANGE jobs
refused 'a setting that is not a number' settings/jobs many EINVAL jobs
is 'the cache can be made smaller' "$(put settings/cache 64MiB)" ok
is 'status.json shows the new size of the cache' "$(jq '.mount.cache.max_bytes / 1048576 | round' "$control/status.json")" 64
ok 'reads work with the smaller cache' cmp "$tmp/mnt/a/model.safetensors" "$tmp/plain/a/model.safetensors"
is 'the cache can be made larger' "$(put settings/cache 128MiB)" ok
refused 'a cache of one byte' settings/cache 1 ERANGE cache
is 'prefetching can be switched off' "$(put settings/prefetch 0) $(cat "$control/settings/prefetch")" 'ok 0'
refused 'hot models need a mount for them' settings/hot 1GiB EOPNOTSUPP hot
is 'refused settings change nothing' "$(cat "$control/settings/jobs")" 3

# --- The policy -------------------------------------------------------------------------------------------

# set_policy TEXT: replaced at once, so that no reader sees a part of it.
set_policy() {
    printf '%s\n' "$1" >"$tmp/policy" && mv "$tmp/policy" "$tmp/store/.tenpak/tenpak.conf"
}
set_policy '{"jobs": {"slots": 1, "queue": 1}}'
wait_for 120 sh -c "grep -q '\"policy\"' '$control/events'"
echo "$slowly" >"$control/compress"
id=$(readlink "$control/jobs/last")
hold_job || fail 'a job of big is held'
echo 1 >"$control/settings/jobs"
is 'a job in the queue' "$(put estimate e)" ok
refused 'the queue is full' estimate 'd' EAGAIN queue
kill -CONT "$held"
cat "$control/jobs/last/wait" >/dev/null
set_policy '{"jobs": {"slots": 1, "queues": 1}}'
ok 'the error in a changed policy is shown' wait_for 120 sh -c "jq -e '.mount.conf_error | test(\"queues\")' '$control/status.json'"
ok 'the error in a changed policy is logged' wait_for 120 grep -q 'queues' "$tmp/mount.log"
mkdir "$tmp/other" "$tmp/other.mnt" "$tmp/other/.tenpak"
cp "$tmp/store/.tenpak/tenpak.conf" "$tmp/other/.tenpak/"
not_ok 'a mount with a wrong policy fails' "$tenpak" mount "$tmp/other" "$tmp/other.mnt"
has 'the error of a wrong policy names the key' "$tmp/.out" queues
rm "$tmp/store/.tenpak/tenpak.conf"

# --- The end, however it comes -----------------------------------------------------------------------------

done_id=$(readlink "$control/jobs/last")
echo big >"$control/restore"
cat "$control/jobs/last/wait" >/dev/null
echo "$slowly" >"$control/compress"
id=$(readlink "$control/jobs/last")
hold_job || fail 'a job of big is held'
cat "$control/jobs/$id/wait" >"$tmp/ended" 2>&1 &
waiter=$!
wait_for 120 sh -c "ls -l '/proc/$waiter/fd' | grep -q '$id/wait'"
kill -TERM "$mount_pid"
ok 'a job is ended with its mount' wait_for 120 is_terminated
kill -CONT "$held"
wait $waiter
is 'a waiting reader is released when the mount ends' "$(cat "$tmp/ended" | grep -c -e shutdown -e interrupted -e cancelled)" 1
ok 'the daemon ends' wait_gone "$mount_pid"
wait "$mount_pid"
mount_dir "$tmp/store" "$tmp/mnt" || exit 1
is 'the job of a terminated mount is interrupted' "$(job_state "$id")" interrupted
ok 'the model of an interrupted job is intact' diff -r "$tmp/mnt/big" "$tmp/plain/big"
is 'earlier reports are still there' "$(job_state "$done_id")" completed
echo "$slowly" >"$control/compress"
id=$(readlink "$control/jobs/last")
hold_job || fail 'a job of big is held'
kill -KILL "$mount_pid"
kill -CONT "$held"
ok 'a job dies with a killed daemon' wait_gone "$held"
wait "$mount_pid" 2>/dev/null
fusermount3 -uz "$tmp/mnt"
mount_dir "$tmp/store" "$tmp/mnt" || exit 1
is 'the job of a killed mount is interrupted' "$(job_state "$id")" interrupted
ok 'the model of a killed job is intact' diff -r "$tmp/mnt/big" "$tmp/plain/big"
echo big >"$control/compress"
is 'a model can be compressed after an interruption' "$(jq -r .status "$control/jobs/last/wait")" completed
ok 'a model compressed after an interruption has the same bytes' cmp "$tmp/mnt/big/model.safetensors" "$tmp/plain/big/model.safetensors"
ok 'unmounted' unmount "$tmp/mnt"

# --- Options ------------------------------------------------------------------------------------------------

mount_dir "$tmp/store" "$tmp/mnt" -o control=visible,jobs=2 || exit 1
is 'control=visible lists it' "$(ls -A "$tmp/mnt" | grep -c '^\.tenpak$')" 1
is 'jobs= sets the number of jobs at a time' "$(cat "$control/settings/jobs")" 2
ok 'unmounted' unmount "$tmp/mnt"
mount_dir "$tmp/store" "$tmp/mnt" -o control=no || exit 1
not_ok 'control=no has none' ls "$control"
ok 'unmounted' unmount "$tmp/mnt"
mount_dir "$tmp/store" "$tmp/mnt" -o ro || exit 1
is 'ro takes no commands' "$(put estimate d)" EROFS
is 'documents of a read-only mount can be read' "$(jq -r .mount.writable "$control/status.json")" false
ok 'unmounted' unmount "$tmp/mnt"
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
    chmod 755 "$tmp"
    mount_dir "$tmp/store" "$tmp/mnt" -o allow_other,control_gid=4321 || exit 1
    as="setpriv --reuid=1234 --regid=1234 --clear-groups"
    ok 'another user reads models' $as cat "$tmp/mnt/d/config.json"
    not_ok 'another user cannot list the control directory' $as ls "$control"
    not_ok 'another user cannot read a document' $as cat "$control/status.json"
    not_ok 'another user cannot write a command' $as sh -c "echo d >'$control/estimate'"
    as="setpriv --reuid=1234 --regid=1234 --groups=4321"
    ok 'a member of control_gid can write a command' $as sh -c "echo d >'$control/estimate'"
    is 'a job records the member of control_gid' "$(jq .requester.uid "$control/jobs/last/status.json")" 1234
    ok 'unmounted' unmount "$tmp/mnt"
    mkdir "$tmp/small"
    mount -t tmpfs -o size=2m,nr_inodes=40 none "$tmp/small" && cleanup_fn umount "$tmp/small"
    mkdir "$tmp/small/m"
    echo '{}' >"$tmp/small/m/config.json"
    mount_dir "$tmp/small" "$tmp/mnt" || exit 1
    i=0
    while touch "$tmp/small/m/$i" 2>/dev/null; do i=$((i + 1)); done
    refused 'a full disk' estimate m ENOSPC space
    ok 'unmounted' unmount "$tmp/mnt"
    rm "$tmp/small/m/"[0-9]*
    mkdir "$tmp/fixed"
    mount --bind "$tmp/small" "$tmp/fixed" && cleanup_fn umount "$tmp/fixed"
    mount -o remount,bind,ro "$tmp/fixed"
    mount_dir "$tmp/fixed" "$tmp/mnt" || exit 1
    refused 'a directory that cannot be written to' compress m EROFS 'read-only'
    is 'models.json of a read-only directory can be read' "$(jq -r '.models[0].name' "$control/models.json")" m
    ok 'unmounted' unmount "$tmp/mnt"
else
    skip 'other users' 'only root can be another'
fi
tap_done
