#!/bin/sh
# SPDX-License-Identifier: MIT
# Processes that hold a model's directory while its pack replaces it, or the reverse: they find the current files after
# any number of changes, and have no more access than before.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
requires_python os

mkdir "$tmp/store"
"$top_builddir/tests/mkmodel" "$tmp/store/model"
mkdir -p "$tmp/store/model/sub/deeper"
mkdir "$tmp/store/model/other"
for i in 1 2 3 4; do
    echo "text $i" >"$tmp/store/model/sub/$i"
    echo "deep text $i" >"$tmp/store/model/sub/deeper/$i"
done
cp -Rp "$tmp/store/model" "$tmp/original"
cp -Rp "$tmp/store/model" "$tmp/store/shut"
cp -Rp "$tmp/store/model" "$tmp/shut"
chmod 755 "$tmp/store/shut"
chmod 711 "$tmp/shut"
"$tenpak" pack -q -b none -o "$tmp/shut.tnpk" "$tmp/shut" || fail 'pack'
mount_dir "$tmp/store" "$tmp/mnt" || exit 1

# Holds directories of the mount, and answers what is asked on its standard input, a line each.
cat >"$tmp/holder.py" <<'END'
import errno, hashlib, os, sys
held = {}
for line in sys.stdin:
    what, name, *more = line.split()
    try:
        if what == "hold":
            held[name] = os.open(more[0], os.O_RDONLY)
            answer = "held"
        elif what == "make":
            answer = os.open(more[0], os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600, dir_fd=held[name])
        elif what == "list":
            answer = " ".join(sorted(os.listdir(held[name])))
        elif what == "open":
            held[more[0]] = os.open(more[1], os.O_RDONLY | os.O_DIRECTORY, dir_fd=held[name])
            answer = "held"
        else:
            with os.fdopen(os.open(more[0], os.O_RDONLY, dir_fd=held[name]), "rb") as file:
                answer = hashlib.sha256(file.read()).hexdigest()
    except OSError as error:
        answer = errno.errorcode[error.errno]
    print(answer, flush=True)
END
mkfifo "$tmp/asked" "$tmp/answers"
"$PYTHON" "$tmp/holder.py" <"$tmp/asked" >"$tmp/answers" &
holder=$!
exec 3>"$tmp/asked" 4<"$tmp/answers"
ask() {
    echo "$*" >&3
    read -r answer <&4
    echo "$answer"
}
want=$(sha256_of "$tmp/original/config.json")
is 'a directory is held' "$(ask hold plain "$tmp/mnt/model")" held
is 'its file reads' "$(ask read plain config.json)" "$want"
# What was looked for is believed for a second: other names, then.
ok 'it is packed' "$tenpak" pack -q -b none "$tmp/store/model"
is 'a file that was not read is found in the pack' "$(ask read plain model.safetensors)" \
    "$(sha256_of "$tmp/original/model.safetensors")"
is 'an absent name gives ESTALE' "$(ask read plain absent)" ESTALE
is 'nothing can be made in a removed directory' "$(ask make plain new)" ESTALE
is 'the pack is held' "$(ask hold packed "$tmp/mnt/model")" held
ok 'it is unpacked' "$tenpak" unpack -q "$tmp/store/model.tnpk"
is 'its file is found, packed or plain' "$(ask read packed config.json)" "$want"
sleep 1.1
is 'and by a process that held the first directory' "$(ask read plain config.json)" "$want"
is 'also a file that was never looked up' "$(ask read plain tokenizer.json)" "$(sha256_of "$tmp/original/tokenizer.json")"

# A directory of the model that is held by way of what is gone, and of those that come after: the model's own directory
# first. Each step has files of its own, as the kernel remembers what it was told.
is 'the directory is held again' "$(ask hold top0 "$tmp/mnt/model")" held
is 'and one in it' "$(ask hold sub0 "$tmp/mnt/model/sub")" held
here=$(ls "$tmp/original/sub" | tr '\n' ' ')
here=${here% }
all=$(ls "$tmp/original" | tr '\n' ' ')
for i in 1 2 3 4; do
    if [ $((i % 2)) -eq 1 ]; then
        ok "change $i: it is packed" "$tenpak" pack -q -b none "$tmp/store/model"
    else
        ok "change $i: it is unpacked" "$tenpak" unpack -q "$tmp/store/model.tnpk"
    fi
    is 'a holder of the directory of the model lists the current files' "$(ask list top0) " "$all"
    is 'a holder of a subdirectory lists the current files' "$(ask list sub0)" "$here"
    is 'and finds a file in it' "$(ask read sub0 $i)" "$(sha256_of "$tmp/original/sub/$i")"
    is 'and one deeper' "$(ask read sub0 deeper/$i)" "$(sha256_of "$tmp/original/sub/deeper/$i")"
    is 'a holder of the directory of the model finds it, too' "$(ask read top0 sub/deeper/$i)" "$(sha256_of "$tmp/original/sub/deeper/$i")"
    is 'an absent name gives ESTALE' "$(ask read sub0 absent$i)" ESTALE
    is 'nothing is made there' "$(ask make sub0 new$i)" ESTALE
    is 'the directory in it is opened from the model' "$(ask open top0 at$i sub)" held
    is 'the first of these finds the current file' "$(ask read at1 deeper/$i)" \
        "$(sha256_of "$tmp/original/sub/deeper/$i")"
    is 'and lists it' "$(ask list at1)" "$here"
    is 'by its path it is as well' "$(sha256_of "$tmp/mnt/model/sub/deeper/$i")" \
        "$(sha256_of "$tmp/original/sub/deeper/$i")"
done
is 'a directory that was never looked up is opened from the first one' "$(ask open top0 other other)" held
not_ok 'a file made in it is there' test "$(ask make other new)" = ESTALE
ok 'and found by its path' test -f "$tmp/mnt/model/other/new"
ok 'and in the store' test -f "$tmp/store/model/other/new"

# The same changes made by hand, so that the new directory has another mode.
is 'a directory that all may list is held' "$(ask hold shut "$tmp/mnt/shut")" held
cp "$tmp/shut.tnpk" "$tmp/store/shut.tnpk"
mv "$tmp/store/shut" "$tmp/store/.shut.removing"
rm -rf "$tmp/store/.shut.removing"
is 'nothing is found in a directory with another mode' "$(ask read shut config.json)" ESTALE
is 'by its path it is' "$(sha256_of "$tmp/mnt/shut/config.json")" "$want"
exec 3>&-
wait "$holder"
exec 4<&-
ok 'unmounted' unmount "$tmp/mnt"

# The parent of a held directory is closed to the holder, another user on a mount made by root.
swapped() {
    rm -rf "$tmp/store/model"
    cp -Rp "$tmp/original" "$tmp/store/model"
    mount_dir "$tmp/store" "$tmp/mnt" -o allow_other || return 1
    setpriv --reuid=4001 --regid=4001 --clear-groups -- sh -c "
        cd '$tmp/mnt/model/sub/deeper' && echo ready && read -r go && cat 1" <"$tmp/asked" >"$tmp/answers" 2>/dev/null &
    exec 3>"$tmp/asked" 4<"$tmp/answers"
    read -r answer <&4
    mv "$tmp/store/model" "$tmp/store/.model.removing"
    cp -Rp "$tmp/original" "$tmp/store/model"
    chmod "$1" "$tmp/store/model/sub"
    rm -rf "$tmp/store/.model.removing"
    echo go >&3
    exec 3>&-
    cat <&4
    exec 4<&-
    wait $!
    unmount "$tmp/mnt"
}
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
    chmod 755 "$tmp"
    is 'another user with a held directory finds the files of the new one' "$(swapped 755)" 'deep text 1'
    is 'and not where a parent directory is closed to that user' "$(swapped 700)" ''
else
    skip 'another user with a held directory' 'only root mounts for other users'
fi
tap_done
