#!/bin/sh
# SPDX-License-Identifier: MIT
# A packed model is removed through the mount as a directory is, as a whole or not at all, and not if other packs need
# it. Training that saves into the mount and removes old checkpoints continues while they are packed. Successful writes
# are not lost when a model is packed at the same time.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
mkmodel=$top_builddir/tests/mkmodel

umask 022
chmod 755 "$tmp"
mkdir -m 755 "$tmp/store" "$tmp/mnt"
"$mkmodel" --seed=1 "$tmp/store/base"
"$mkmodel" --seed=1 --noise=0.01 "$tmp/store/tuned"
"$mkmodel" --seed=2 "$tmp/store/alone"
mkdir "$tmp/store/alone/sub" "$tmp/store/alone/sub/below" "$tmp/store/alone/empty"
echo deep >"$tmp/store/alone/sub/below/file"
ln -s nowhere "$tmp/store/alone/link"
cp -r "$tmp/store/alone" "$tmp/original"
for name in one two three; do
    cp -r "$tmp/store/alone" "$tmp/store/$name"
done
chmod -R u=rwX,go=rX "$tmp/store" "$tmp/original"
"$tenpak" pack -q -b none "$tmp/store/base" || fail 'pack'
"$tenpak" pack -q -b base "$tmp/store/tuned" || fail 'pack'
for name in alone one two three; do
    "$tenpak" pack -q -b none "$tmp/store/$name" || fail 'pack'
done

mount_dir "$tmp/store" "$tmp/mnt" || exit 1
ok 'rm -r removes a packed model' rm -r "$tmp/mnt/alone"
not_ok 'it is not in the mount any more' ls "$tmp/mnt/alone"
is 'and from the list' "$(ls "$tmp/mnt" | tr '\n' ' ')" 'base one three tuned two '
not_ok 'and so is its pack' ls "$tmp/store/alone.tnpk"
ok 'its name is free' mkdir "$tmp/mnt/alone"
ok 'as on a disk' rmdir "$tmp/mnt/alone"

# What others need.
not_ok 'a base that is needed is not removed' rm -r "$tmp/mnt/base"
has 'it is busy' "$tmp/.out" 'Device or resource busy'
has_soon 'and the log names its dependents' "$tmp/mount.log" "'base' is the base of 1 other: 'tuned'"
ok 'nothing of it is missing' "$tenpak" verify -q "$tmp/store/base.tnpk"
is 'in the mount, too' "$(ls "$tmp/mnt/base" | tr '\n' ' ')" 'config.json model.safetensors tokenizer.json '
ok 'the dependent model is removed first' rm -r "$tmp/mnt/tuned"
ok 'then it can go' rm -r "$tmp/mnt/base"

# Half of it.
exec 3<"$tmp/mnt/one/config.json"
ok 'a file is removed' rm "$tmp/mnt/one/config.json"
not_ok 'and absent' cat "$tmp/mnt/one/config.json"
ok 'a reader that has it open continues' cmp - "$tmp/original/config.json" <&3
exec 3<&-
is 'it is not listed' "$(ls "$tmp/mnt/one" | tr '\n' ' ')" 'empty link model.safetensors sub tokenizer.json '
not_ok 'the model is not empty' rmdir "$tmp/mnt/one"
has 'it says so' "$tmp/.out" 'not empty'
not_ok 'nor is a directory in it' rmdir "$tmp/mnt/one/sub"
ok 'an empty one is removed' rmdir "$tmp/mnt/one/empty"
not_ok 'once' rmdir "$tmp/mnt/one/empty"
not_ok 'nothing is made in it' sh -c "echo >'$tmp/mnt/one/config.json'"
has 'it is read-only' "$tmp/.out" 'Read-only file system'
not_ok 'nor renamed in it' mv "$tmp/mnt/one/tokenizer.json" "$tmp/mnt/one/config.json"
# Where root may, the kernel forgets all that it knows of names.
ls "$tmp/mnt" >/dev/null
(echo 2 >/proc/sys/vm/drop_caches) 2>/dev/null
not_ok 'a removed entry stays removed when the kernel has forgotten it' cat "$tmp/mnt/one/config.json"
ok 'another model is as it was' diff -r --no-dereference "$tmp/original" "$tmp/mnt/two"
ok 'an incomplete removal is undone' wait_for 120 cat "$tmp/mnt/one/config.json"
ok 'all of it' wait_for 120 diff -r --no-dereference "$tmp/original" "$tmp/mnt/one"
has_soon 'and the log says so' "$tmp/mount.log" "what was removed of 'one' is there again"
ok 'a file is removed again' rm "$tmp/mnt/one/config.json"
ok 'unmounted' unmount "$tmp/mnt"
mount_dir "$tmp/store" "$tmp/mnt" || exit 1
ok 'another mount has it' diff -r --no-dereference "$tmp/original" "$tmp/mnt/one"

# A model that is worked on.
exec 3<"$tmp/store/.tenpak"
before=$(ls "$tmp/mnt" | wc -l)
if command -v flock >/dev/null; then
    exec 4>"$tmp/store/.two.tenpak-lock"
    flock 4
    not_ok 'a model that a job works on is not removed' rm -r "$tmp/mnt/two"
    exec 4>&-
    is 'it is there' "$(ls "$tmp/mnt" | wc -l)" "$before"
else
    skip 'a model that a job works on is not removed' 'no flock'
fi
exec 3<&-

# By a Python program.
if "$PYTHON" -c 'import shutil' 2>/dev/null; then
    ok 'rmtree removes one' "$PYTHON" -c 'import shutil, sys; shutil.rmtree(sys.argv[1])' "$tmp/mnt/two"
else
    ok 'rm removes one' rm -r "$tmp/mnt/two"
fi
not_ok 'and its pack' ls "$tmp/store/two.tnpk"
ok 'unmounted' unmount "$tmp/mnt"

# For other users.
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
    by() {
        setpriv --reuid="$1" --regid="$1" --clear-groups -- sh -c "$2"
    }
    for name in theirs shared; do
        cp "$tmp/store/one.tnpk" "$tmp/store/$name.tnpk"
        chown 4001:4001 "$tmp/store/$name.tnpk"
        chmod 644 "$tmp/store/$name.tnpk"
    done
    mount_dir "$tmp/store" "$tmp/mnt" -o allow_other || exit 1
    not_ok 'the owner of a pack removes nothing from the directory of another user' by 4001 "rm -r '$tmp/mnt/theirs'"
    is 'it is all there' "$(find "$tmp/mnt/theirs" | wc -l)" "$(find "$tmp/original" | wc -l)"
    chmod 1777 "$tmp/store"
    sleep 1.1
    not_ok 'where all may write, another user removes nothing' by 4002 "rm -rf '$tmp/mnt/theirs'"
    is 'it is still there' "$(find "$tmp/mnt/theirs" | wc -l)" "$(find "$tmp/original" | wc -l)"
    ok 'its owner removes it' by 4001 "rm -r '$tmp/mnt/theirs'"
    not_ok 'for good' ls "$tmp/store/theirs.tnpk"
    chmod 755 "$tmp/store"
    ok 'root removes the files of another user' rm -r "$tmp/mnt/shared"
    ok 'unmounted' unmount "$tmp/mnt"
    mount_dir "$tmp/store" "$tmp/mnt" -o ro || exit 1
    not_ok 'a mount that is read-only keeps all' rm -r "$tmp/mnt/three"
    ok 'unmounted' unmount "$tmp/mnt"
else
    skip 'other users' 'only root can be another'
fi

# A model that is packed while it is removed, and while it is written to.
"$mkmodel" --seed=3 "$tmp/store/going"
mkdir "$tmp/going"
"$tenpak" pack -q -b none -o "$tmp/going.tnpk" "$tmp/store/going"
printf '#!/bin/sh\necho lost >>"$1"\n' >"$tmp/append"
chmod 755 "$tmp/append"
mount_dir "$tmp/store" "$tmp/mnt" || exit 1
(
    cd "$tmp/mnt/going" && cat config.json tokenizer.json >/dev/null
    exec 3<config.json
    cp "$tmp/going.tnpk" "$tmp/store/going.tnpk"
    mv "$tmp/store/going" "$tmp/store/.going.removing"
    "$tmp/append" /proc/self/fd/3
    echo "append $?"
    truncate -s 0 /proc/self/fd/3
    echo "truncate $?"
    touch /proc/self/fd/3
    echo "touch $?"
    "$tmp/append" tokenizer.json
    echo "write $?"
) >"$tmp/said" 2>&1
has 'a write to a file that is being removed fails' "$tmp/said" '^append [^0]'
has 'truncating it fails' "$tmp/said" '^truncate [^0]'
has 'changing its times fails' "$tmp/said" '^touch [^0]'
has 'a write by a path that leads to the pack fails' "$tmp/said" '^write [^0]'
ok 'nothing of it has changed' cmp "$tmp/store/.going.removing/config.json" "$tmp/mnt/three/config.json"
not_ok 'a model that is still being packed is not removed' rm -r "$tmp/mnt/going"
has 'it is busy' "$tmp/.out" 'Device or resource busy'
rm -r "$tmp/store/.going.removing"
ok 'a packed one is removed' rm -r "$tmp/mnt/going"
not_ok 'for good' ls "$tmp/store/going.tnpk"
ok 'unmounted' unmount "$tmp/mnt"

# Training: checkpoints come, the oldest goes, and the daemon packs what is quiet.
mkdir "$tmp/run"
"$mkmodel" --seed=9 "$tmp/run/base"
"$tenpak" pack -q -b none "$tmp/run/base" || fail 'pack'
mkdir -p "$tmp/run/.tenpak"
printf '{"base": "base", "auto_compress": {"enabled": true, "quiet_seconds": 1, "least_bytes": 0}}' \
    >"$tmp/run/.tenpak/tenpak.conf"
mount_dir "$tmp/run" "$tmp/mnt" || exit 1
for step in 1 2 3 4 5; do
    "$mkmodel" --seed=9 --noise=0.0$step "$tmp/mnt/checkpoint-$step" || fail "saving checkpoint $step"
    [ "$step" -ne 3 ] || ok 'a checkpoint is packed meanwhile' wait_for 120 test -f "$tmp/run/checkpoint-1.tnpk"
    [ "$step" -lt 3 ] || ok "rotation removes checkpoint $((step - 2))" \
        wait_for 120 rm -r "$tmp/mnt/checkpoint-$((step - 2))"
done
# A job that was under way when its model was removed takes back a pack that it has just made.
shows_the_last() {
    [ "$(ls "$tmp/mnt" | tr '\n' ' ')" = 'base checkpoint-4 checkpoint-5 ' ]
}
ok 'the last ones are there, and no others' wait_for 120 shows_the_last
"$mkmodel" --seed=9 --noise=0.04 "$tmp/saved"
ok 'with the saved data' diff -r "$tmp/saved" "$tmp/mnt/checkpoint-4"
only_the_last() {
    [ "$(ls "$tmp/run" | sed 's/\.tnpk$//' | sort -u | tr '\n' ' ')" = 'base checkpoint-4 checkpoint-5 ' ]
}
ok 'and in the directory' wait_for 120 only_the_last
ok 'unmounted' unmount "$tmp/mnt"
tap_done
