#!/bin/sh
# SPDX-License-Identifier: MIT
# The recipes of doc/CONTROL.md work as they are printed.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
requires jq
mkmodel=$top_builddir/tests/mkmodel

d=$tmp/models
mkdir "$d"
"$mkmodel" "$d/base"
for n in 1 2 3; do
    "$mkmodel" --noise=0.05 --noise-seed=$n "$d/tuned-$n"
done
"$mkmodel" --seed=5 "$d/other name"
"$mkmodel" --seed=6 --layers=1 "$d/small"
ok 'mounted' mount_dir "$d" "$tmp/mnt"
[ -e "$tmp/mnt/.tenpak/status.json" ] || skip_all 'this mount has no control directory'
control=$tmp/mnt/.tenpak

# One file a recipe, numbered, from its comment on; the change of directory comes first in each.
awk -v out="$tmp/recipe." '/^## / { on = $2 == "Recipes" } on && sub(/^    /, "") {
    if ($1 == "cd") { cd = $0; next }
    if ($1 == "#") { n++; print cd > (out n) }
    print > (out n)
}' "$top_srcdir/doc/CONTROL.md"
sed -i -e "s,MNT,$tmp/mnt," -e 's/^watch -n 1/sh -c/' -e 's/^tail -f/timeout 3 tail -f/' "$tmp"/recipe.*

# recipe N: its output is in $tmp/said.
recipe() {
    name=$(sed -n 's/^# //p' "$tmp/recipe.$1" | head -n 1)
    sh -u "$tmp/recipe.$1" >"$tmp/said" 2>"$tmp/errors"
    rc=$?
    is "$name: no complaints" "$(cat "$tmp/errors")" ''
}

recipe 1
is 'three have become packs' "$(find "$d" -name 'tuned-*' | sort | tr '\n' ' ')" "$d/tuned-1.tnpk $d/tuned-2.tnpk $d/tuned-3.tnpk "
is 'the saving is reported' "$(jq -c keys "$tmp/said")" '["ratio","saved_bytes"]'
is 'and is what status.json says' "$(jq .saved_bytes "$tmp/said")" "$(jq .saved_bytes "$control/status.json")"
recipe 2
is 'plain models, the largest first' "$(cut -d ' ' -f 2- "$tmp/said" | tr '\n' '|')" 'other name|small|'
recipe 3
for id in $(jq -r '.jobs.active[].job_id' "$control/status.json"); do
    cat "$control/jobs/$id/wait" >/dev/null
done
is 'every plain model has an estimate' "$(jq '[.models[] | select(.kind == "plain") | .estimate != null] | all and length == 2' "$control/models.json")" true
recipe 3
ok 'which are listed' test -s "$tmp/said"
for id in $(jq -r '.jobs.active[].job_id' "$control/status.json"); do
    cat "$control/jobs/$id/wait" >/dev/null
done
recipe 4
recipe 5
is 'every pack is whole' "$(cat "$tmp/said")" '"completed"'
recipe 6
is 'the log stays to be followed' "$rc" 124
"$mkmodel" --layers=8 --hidden=512 --inter=1408 --vocab=8192 "$d/large"
wait_for 120 test -d "$tmp/mnt/large"
echo 'large base=none codec=zstd zstd_level=19 threads=1' >"$control/compress"
recipe 7
is 'and the job is ended' "$(jq -r .status "$control/jobs/last/wait")" cancelled
ok 'its model is as it was' test -d "$d/large"
is 'there were seven recipes' "$(find "$tmp" -maxdepth 1 -name 'recipe.*' | wc -l)" 7
ok 'unmounted' unmount "$tmp/mnt"
tap_done
