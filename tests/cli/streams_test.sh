#!/bin/sh
# SPDX-License-Identifier: MIT
# Standard output and standard error: whole lines for all names of models, no messages in files if the caller closed a
# stream, and a failure if the reader has ended.
. "${top_srcdir:-.}/tests/lib.sh"
requires jq

mkmodel=$top_builddir/tests/mkmodel
d=$tmp/store
mkdir "$d"
"$mkmodel" "$d/base"
"$mkmodel" --noise=0.01 "$d/tune"

# --- names with control characters: files, links, models, bases, tensors ---
odd=$(printf 'new\nline \033[31mred')
echo x >"$d/tune/$odd"
ln -s "$odd" "$d/tune/link"
cp -r "$d/tune" "$d/$odd"
"$tenpak" pack -q --base=none "$d/base" || fail 'packing the base'
"$tenpak" pack --base=base "$d/$odd" >"$tmp/out" 2>&1
is 'pack: exit code' $? 0
"$tenpak" info -t "$d/$odd.tnpk" >>"$tmp/out"
is 'info: exit code' $? 0
"$tenpak" ls "$d" >>"$tmp/out"
is 'ls: exit code' $? 0
"$tenpak" verify "$d/$odd.tnpk" >>"$tmp/out"
is 'verify: exit code' $? 0
"$tenpak" delta estimate "$d/base" "$d/$odd.tnpk" >>"$tmp/out"
is 'delta estimate: exit code' $? 0
"$tenpak" unpack "$d/$odd" >>"$tmp/out"
is 'unpack: exit code' $? 0
is 'no control character is printed' "$(tr -d '\n -~' <"$tmp/out" | wc -c)" 0
is 'and no name is on two lines' "$(grep -c '^line' "$tmp/out")" 0
has 'a name is still to be seen' "$tmp/out" 'new?line ?\[31mred'
"$tenpak" pack -q --base=base "$d/$odd"
"$tenpak" info --json "$d/$odd" >"$tmp/info.json"
is 'JSON has it in full' "$(jq -r '.files[] | select(.type == "symlink") | .target' "$tmp/info.json")" "$odd"

# --- a directory with its pack beside it: the pack, where a pack is wanted ---
"$tenpak" pack -q -k --base=base "$d/tune"
is 'info of a name that is both' "$("$tenpak" info --json "$d/tune" | jq -r .pack)" "$d/tune.tnpk"
is 'verify of a name that is both' "$("$tenpak" verify --json "$d/tune" | jq -r '.packs[0].pack')" "$d/tune.tnpk"
is 'verify of the directory of both' "$("$tenpak" verify --json "$d" | jq -r '.packs[].pack' | sort)" "$(find "$d" -name '*.tnpk' | sort)"
mkdir "$tmp/none"
is 'verify of no packs says so' "$("$tenpak" verify "$tmp/none")" '0 packs, 0 not whole'
ok 'unpack of a name that is both, elsewhere' "$tenpak" unpack -o "$tmp/back" "$d/tune"
echo changed >>"$d/tune/config.json"
exits 'unpack of a name that is both, where the directory is another' 1 "$tenpak" unpack "$d/tune"
ok 'the directory stays as it is' grep -q changed "$d/tune/config.json"
ok 'the pack stays' [ -f "$d/tune.tnpk" ]

# --- descriptors that the caller closed ---
for closed in '<&-' '>&-' '2>&-' '>&- 2>&-' '<&- >&- 2>&-'; do
    rm -f "$tmp/closed.tnpk"
    # A file that breaks the format makes a warning, which must not go into the pack.
    echo 'no safetensors' >"$d/tune/model-x.safetensors"
    sh -c "'$tenpak' pack --base=none -o '$tmp/closed.tnpk' '$d/tune' $closed" >"$tmp/.out" 2>&1
    rc=$?
    case $closed in
    '<&-' | '2>&-') is "closed $closed" $rc 0 ;;
    *) is "closed $closed: what is not printed is an error" $rc 1 ;;
    esac
    ok "closed $closed: the pack is whole" "$tenpak" verify -q "$tmp/closed.tnpk"
done
"$tenpak" ls "$d" >&- 2>"$tmp/err"
is 'ls without a standard output: exit code' $? 1
has 'and says so' "$tmp/err" 'cannot write to standard output'

# --- what cannot be printed is a failure of every command ---
"$tenpak" delta estimate "$d/base" "$d/tune" >"$tmp/out" || fail 'delta estimate'
while IFS= read -r words; do
    # shellcheck disable=SC2086
    (cd "$d" && "$tenpak" $words >&-) 2>"$tmp/err"
    is "'$words' without a standard output" $? 1
    has "'$words' says so" "$tmp/err" 'cannot write to standard output'
done <<'END'
ls .
ls --json .
info base
info --json base
verify base
delta estimate base tune
pack -n --json tune
pack --help
pack --list-options
--list-commands
help
help exit-codes
version
doctor
jobs --json .
END
tap_done
