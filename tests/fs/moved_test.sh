#!/bin/sh
# SPDX-License-Identifier: MIT
# Who holds a model's directory while its pack takes its place, or the other way round: files are found in what is there
# now, as often as that changes; nothing more is seen than before.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
requires_python os

mkdir "$tmp/store"
"$top_builddir/tests/mkmodel" "$tmp/store/model"
mkdir "$tmp/store/model/sub"
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
is 'what is not there is not' "$(ask read plain absent)" ESTALE
is 'nothing is made in what is gone' "$(ask make plain new)" ESTALE
is 'the pack is held' "$(ask hold packed "$tmp/mnt/model")" held
ok 'it is unpacked' "$tenpak" unpack -q "$tmp/store/model.tnpk"
is 'its file is found, packed or plain' "$(ask read packed config.json)" "$want"
sleep 1.1
is 'and by who held the first directory' "$(ask read plain config.json)" "$want"
is 'also one that nobody asked for yet' "$(ask read plain tokenizer.json)" "$(sha256_of "$tmp/original/tokenizer.json")"

# The same changes made by hand, so that the new directory has another mode.
is 'a directory that all may list is held' "$(ask hold shut "$tmp/mnt/shut")" held
cp "$tmp/shut.tnpk" "$tmp/store/shut.tnpk"
mv "$tmp/store/shut" "$tmp/store/.shut.removing"
rm -rf "$tmp/store/.shut.removing"
is 'nothing is found in one that is open to others' "$(ask read shut config.json)" ESTALE
is 'by its path it is' "$(sha256_of "$tmp/mnt/shut/config.json")" "$want"
exec 3>&-
wait "$holder"
exec 4<&-
ok 'unmounted' unmount "$tmp/mnt"
tap_done
