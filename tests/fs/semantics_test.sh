#!/bin/sh
# SPDX-License-Identifier: MIT
# Promises of doc/SEMANTICS.md that no other test checks: what is the same after a remount, open and mapped files when
# their pack is replaced, and readers when the daemon is killed.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
requires_python mmap
requires jq
mkmodel=$top_builddir/tests/mkmodel
size='--layers=2 --hidden=512 --inter=1376 --vocab=4000'
file=model.safetensors

mkdir "$tmp/originals" "$tmp/store"
# shellcheck disable=SC2086
{
    "$mkmodel" $size "$tmp/originals/base"
    "$mkmodel" $size --noise=0.02 "$tmp/originals/tune"
    "$mkmodel" $size --seed=5 "$tmp/originals/other"
    "$mkmodel" $size --seed=6 "$tmp/originals/bad"
}
mkdir "$tmp/originals/tune/sub"
ln -s ../config.json "$tmp/originals/tune/sub/link"
touch -d '2003-04-05 06:07:08.123456789' "$tmp/originals/tune/config.json" "$tmp/originals/tune/sub"
"$tenpak" pack -q -b none -o "$tmp/store/base.tnpk" "$tmp/originals/base" || fail 'pack base'
"$tenpak" pack -q -b "$tmp/store/base.tnpk" -o "$tmp/store/tune.tnpk" "$tmp/originals/tune" || fail 'pack tune'
"$tenpak" pack -q -b none -o "$tmp/other.tnpk" "$tmp/originals/other" || fail 'pack other'
cp -Rp "$tmp/originals/base" "$tmp/store/plain"
# A separate model: packs with one id share decoded blocks, so an intact copy would hide the damage.
"$tenpak" pack -q -b none -o "$tmp/store/bad.tnpk" "$tmp/originals/bad" || fail 'pack bad'
bytes=$(stat -c %s "$tmp/store/bad.tnpk")
dd if=/dev/zero of="$tmp/store/bad.tnpk" bs=1 seek=$((bytes / 2)) count=64 conv=notrunc 2>/dev/null

# Maps a file, and for each line of its input a page number: reads that page, and prints a sum of it. The first 16 pages
# are locked, so that a machine short of memory does not drop them.
cat >"$tmp/mapper" <<'END'
import ctypes, mmap, sys
file = open(sys.argv[1], "rb")
libc, start = ctypes.CDLL(None), 16 * 4096
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
locked = ctypes.c_void_p(libc.mmap(None, start, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0))
libc.madvise(locked, ctypes.c_size_t(start), mmap.MADV_RANDOM)
libc.mlock(locked, ctypes.c_size_t(start))
area = mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)
area.madvise(mmap.MADV_RANDOM)
print("mapped", flush=True)
for line in sys.stdin:
    at = int(line) * 4096
    print(hash(bytes(area[at:at + 4096])), flush=True)
END
# Starts one on a file with its answers in a file; descriptor 8 asks it.
mapper() {
    rm -f "$tmp/ask"
    mkfifo "$tmp/ask"
    PYTHONHASHSEED=0 "$PYTHON" "$tmp/mapper" "$1" <"$tmp/ask" >"$tmp/answers" 2>/dev/null &
    mapper_pid=$!
    exec 8>"$tmp/ask"
    wait_for 120 grep -q mapped "$tmp/answers"
}
# A page's sum, as the mapper has it.
page() {
    before=$(wc -l <"$tmp/answers")
    echo "$1" >&8
    wait_for 120 sh -c "test \$(wc -l <'$tmp/answers') -gt $before" || return 1
    tail -n 1 "$tmp/answers"
}
mapper_end() {
    exec 8>&-
    wait "$mapper_pid"
}
sum_of() {
    PYTHONHASHSEED=0 "$PYTHON" -c 'import sys; f = open(sys.argv[1], "rb"); f.seek(4096 * int(sys.argv[2]))
print(hash(f.read(4096)))' "$1" "$2"
}

attributes() {
    (cd "$tmp/mnt" && find tune base plain -printf '%P %i %y %m %s %T@ %b %n %l\n' | sort)
}
mount_dir "$tmp/store" "$tmp/mnt" -o cache=16M || exit 1
attributes >"$tmp/first"
ok 'attributes of every entry' test "$(wc -l <"$tmp/first")" -gt 10
ok 'unmounted' unmount "$tmp/mnt"
mount_dir "$tmp/store" "$tmp/mnt" -o cache=64M,threads=1 || exit 1
attributes >"$tmp/second"
ok 'numbers, modes, sizes, times and links are the same after a remount' cmp "$tmp/first" "$tmp/second"

# The kernel keeps the pages.
cat "$tmp/mnt/tune/$file" >"$tmp/read"
reads_of_packs() {
    sed -n 's/^tenpak_reads_total //p' "$tmp/mnt/.tenpak/metrics"
}
ok 'reads are counted' test "$(reads_of_packs)" -gt 0
# A machine short of memory may drop pages meanwhile.
read_again() {
    reads=$(reads_of_packs)
    cat "$tmp/mnt/tune/$file" >"$tmp/again"
    [ "$(reads_of_packs)" = "$reads" ]
}
ok 'a file that is opened again is read from the page cache' wait_for 120 read_again
ok 'with the same bytes' cmp "$tmp/read" "$tmp/again"
ok 'those of the original' cmp "$tmp/read" "$tmp/originals/tune/$file"
rm "$tmp/read" "$tmp/again"

# Replaced and removed while it is open and mapped; pages 300 on were in no cache.
mapper "$tmp/mnt/tune/$file"
exec 7<"$tmp/mnt/tune/$file"
is 'a mapped page' "$(page 3)" "$(sum_of "$tmp/originals/tune/$file" 3)"
cp "$tmp/other.tnpk" "$tmp/replacement"
mv "$tmp/replacement" "$tmp/store/tune.tnpk"
ok 'a replaced pack shows its new content to new opens' \
    wait_for 120 cmp "$tmp/mnt/tune/$file" "$tmp/originals/other/$file"
echo 3 2>/dev/null >/proc/sys/vm/drop_caches
is 'a mapping of the replaced pack keeps the old content' "$(page 900)" "$(sum_of "$tmp/originals/tune/$file" 900)"
rm "$tmp/store/tune.tnpk"
ok 'a removed pack disappears from the listing' wait_for 120 sh -c "! test -e '$tmp/mnt/tune'"
is 'a mapping of it reads on' "$(page 1500)" "$(sum_of "$tmp/originals/tune/$file" 1500)"
cat <&7 >"$tmp/kept"
exec 7<&-
ok 'and so does a file that is open' cmp "$tmp/kept" "$tmp/originals/tune/$file"
not_ok 'a mount in use is not unmounted' fusermount3 -u "$tmp/mnt"
mapper_end

# Damage is an error, never a wrong byte.
not_ok 'a read of a damaged chunk is an error' cat "$tmp/mnt/bad/$file"
has 'of input and output' "$tmp/.out" 'Input/output error'
PYTHONHASHSEED=0 "$PYTHON" -c 'import mmap, sys
f = open(sys.argv[1], "rb")
a = mmap.mmap(f.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)
print(sum(a[::4096]))' "$tmp/mnt/bad/$file" >"$tmp/sum" 2>/dev/null
is 'a mapping of it raises SIGBUS' $? 135
is 'and gives no byte of it' "$(cat "$tmp/sum")" ''

# A new model, and the daemon killed.
cp "$tmp/other.tnpk" "$tmp/late" && mv "$tmp/late" "$tmp/store/late.tnpk"
ok 'a new model appears' wait_for 120 cmp "$tmp/mnt/late/$file" "$tmp/originals/other/$file"
mapper "$tmp/mnt/base/$file"
exec 7<"$tmp/mnt/base/$file"
known=$(page 5)
fstat='import errno, os
try:
    os.fstat(7)
    print("answered")
except OSError as error:
    print(errno.errorcode[error.errno])'
head -c 131072 <&7 >/dev/null
exec 6<"$tmp/mnt/plain/$file"
head -c 65536 <&6 >/dev/null
passing=$("$tenpak" status --json "$tmp/mnt" | jq .passthrough.on)
kill -KILL "$mount_pid"
wait "$mount_pid" 2>/dev/null
is 'after the daemon is killed a mapped page that was read stays readable' "$(page 5)" "$known"
is 'fstat of a file that was read fails with ENOTCONN' "$("$PYTHON" -c "$fstat")" ENOTCONN
"$PYTHON" -c 'import os; os.write(1, os.pread(7, 65536, 0))' >"$tmp/cached"
head -c 65536 "$tmp/originals/base/$file" >"$tmp/read"
ok 'read returns pages from the page cache' cmp "$tmp/cached" "$tmp/read"
sleep 1.1
"$PYTHON" -c 'import os; os.write(1, os.pread(6, 65536, 0))' >"$tmp/cached" 2>"$tmp/.out"
if [ "$passing" = true ]; then
    ok 'a plain file is passed through, and read' test "$(wc -c <"$tmp/cached")" -eq 65536
else
    has 'but not of a plain file, whose attributes expire after a second' "$tmp/.out" 'endpoint is not connected'
fi
exec 6<&-
not_ok 'stat fails' stat "$tmp/mnt/base/config.json"
has 'with ENOTCONN' "$tmp/.out" 'Transport endpoint is not connected'
not_ok 'open fails' cat "$tmp/mnt/base/config.json"
has 'with ENOTCONN, too' "$tmp/.out" 'Transport endpoint is not connected'
# Read by O_DIRECT, which asks the daemon in any case.
not_ok 'reading an open file fails for bytes that were not cached' dd if=/proc/self/fd/7 of=/dev/null bs=1M count=40 iflag=skip_bytes skip=4M
exec 7<&-
echo 1700 >&8
mapper_end
is 'a mapped page that was never read is SIGBUS' $? 135
ok 'the dead mount can be taken away' "$tenpak" umount "$tmp/mnt"
ok 'and mounted again' mount_dir "$tmp/store" "$tmp/mnt"
ok 'with every byte' cmp "$tmp/mnt/base/$file" "$tmp/originals/base/$file"
ok 'unmounted again' unmount "$tmp/mnt"
tap_done
