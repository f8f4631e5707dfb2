#!/bin/sh
# SPDX-License-Identifier: MIT
# Open files and whole directories in the writable part of a mount, compared with a directory on the disk: space and
# holes, copies, locks, appending, mappings, large directories, flags, files without a name, databases, and common
# programs.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
requires_python ctypes sqlite3
files() {
    "$PYTHON" "$top_srcdir/tests/fs/files.py" "$@"
}
mkdir -p "$tmp/store/dir" "$tmp/native"
mount_dir "$tmp/store" "$tmp/mnt" || exit 1
# Not every file system zeroes a range by itself (tmpfs does not).
fallocate --zero-range --length 4096 "$tmp/native/probe" 2>/dev/null || export NO_ZERO_RANGE=1
rm -f "$tmp/native/probe"

for table in space copies holes locks appends mappings many databases; do
    ok "$table: the table holds for an ordinary directory" files "$tmp/native" $table
    ok "$table: and for one in the mount" files "$tmp/mnt/dir" $table
    sed 's/^/# /' "$tmp/.out"
done
# Not every file system has these.
if files "$tmp/native" flags >"$tmp/native.out" 2>&1; then
    ok 'flags are read and set as on the disk' files "$tmp/mnt/dir" flags
else
    skip 'flags are read and set as on the disk' 'the file system here has none'
fi
if ! grep -q TP_FUSE_HAS_TMPFILE "$top_builddir/Makefile"; then
    # shellcheck disable=SC2016
    is 'a file without a name is not supported, so that programs make one with a name' "$("$PYTHON" -c 'import errno, os, sys
try:
    os.open(sys.argv[1], os.O_TMPFILE | os.O_WRONLY, 0o600)
except OSError as error:
    print(errno.errorcode[error.errno])' "$tmp/mnt/dir")" ENOTSUP
elif files "$tmp/native" nameless >"$tmp/native.out" 2>&1; then
    ok 'a file without a name is made, and named' files "$tmp/mnt/dir" nameless
else
    skip 'a file without a name is made, and named' 'the file system here has none'
fi
is 'nothing is left' "$(ls -A "$tmp/store/dir")" ''

# A repository that is made, cloned and looked through.
clone() {
    export HOME="$tmp" GIT_CONFIG_NOSYSTEM=1
    git init -q "$1/first" && cp "$top_srcdir"/tests/fs/*.sh "$1/first" && cd "$1/first" && ln -s files_test.sh soft &&
        git add . && git -c user.name=x -c user.email=x@example.org commit -q -m first && git gc -q &&
        git clone -q . "$1/clone" && git -C "$1/clone" fsck --full --strict && diff -r "$1/first/soft" "$1/clone/soft" &&
        git -C "$1/clone" status --porcelain >"$tmp/changes" && [ ! -s "$tmp/changes" ] && cd / && rm -rf "$1/first" "$1/clone"
}
if command -v git >/dev/null 2>&1; then
    ok 'git makes, packs and clones a repository' clone "$tmp/mnt/dir"
else
    skip 'git makes, packs and clones a repository' 'git is not installed'
fi

# Archives carry everything: holes, links, times and extended attributes.
mkdir "$tmp/tree" "$tmp/tree/sub"
echo text >"$tmp/tree/file"
ln "$tmp/tree/file" "$tmp/tree/sub/hard"
ln -s ../file "$tmp/tree/sub/soft"
truncate -s 3M "$tmp/tree/sparse"
echo end >>"$tmp/tree/sparse"
chmod 640 "$tmp/tree/file"
"$PYTHON" -c 'import os, sys; os.setxattr(sys.argv[1], "user.note", b"value")' "$tmp/tree/file" 2>"$tmp/.out" ||
    diag 'no extended attributes here'
# All of them old: what was made within one second rsync may take for the same.
touch -h -d 2001-02-03T04:05:06.789 "$tmp/tree/file" "$tmp/tree/sparse" "$tmp/tree/sub/soft" "$tmp/tree/sub" "$tmp/tree"
described() {
    "$PYTHON" - "$1" <<'END'
import os, sys
for top, dirs, files in os.walk(sys.argv[1]):
    dirs.sort()
    for name in sorted(["."] + files + dirs):
        path = os.path.join(top, name)
        st = os.lstat(path)
        notes = {} if os.path.islink(path) else {key: os.getxattr(path, key) for key in os.listxattr(path) if key.startswith("user.")}
        print(os.path.relpath(path, sys.argv[1]), oct(st.st_mode), st.st_nlink if name in files else "", st.st_mtime_ns if name != "." else "",
              st.st_size if name in files else "", notes)
END
}
mkdir "$tmp/mnt/dir/tar"
ok 'tar packs and unpacks' sh -c "tar -C '$tmp/tree' -S --xattrs -cf '$tmp/mnt/dir/x.tar' . &&
    tar -C '$tmp/mnt/dir/tar' --xattrs -xf '$tmp/mnt/dir/x.tar'"
is 'everything that it carries' "$(described "$tmp/mnt/dir/tar")" "$(described "$tmp/tree")"
if command -v rsync >/dev/null 2>&1; then
    ok 'rsync copies' rsync -aHX "$tmp/tree/" "$tmp/mnt/dir/rsync/"
    is 'everything that it carries, too' "$(described "$tmp/mnt/dir/rsync")" "$(described "$tmp/tree")"
    is 'and finds nothing to do again' "$(rsync -aHXi "$tmp/tree/" "$tmp/mnt/dir/rsync/")" ''
else
    skip 'rsync copies' 'rsync is not installed'
fi
ok 'a sparse copy of a sparse file' cp --sparse=always "$tmp/mnt/dir/tar/sparse" "$tmp/mnt/dir/sparse"
ok 'has its bytes' cmp "$tmp/mnt/dir/sparse" "$tmp/tree/sparse"
ok 'and its holes' test "$(stat -c %b "$tmp/store/dir/sparse")" -lt 2048
ok 'unmounted' unmount "$tmp/mnt"
tap_done
