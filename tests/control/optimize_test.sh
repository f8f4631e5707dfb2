#!/bin/sh
# SPDX-License-Identifier: MIT
# A search by the command line, a control file and HTTP: the same keys give the same winner, which is a model.
. "${top_srcdir:-.}/tests/lib.sh"
requires jq
requires curl
requires_fuse

TENPAK_TEXT_DIR=$(cd "$top_srcdir/share/tenpak/text" && pwd)
export TENPAK_TEXT_DIR
dir=$tmp/models
mnt=$tmp/mnt
control=$mnt/.tenpak
mkdir "$dir"
cp -R "$top_srcdir/demo/models/base" "$dir/m"
chmod -R u+w "$dir/m"
cp -a "$dir/m" "$tmp/original"
mount_dir "$dir" "$mnt" || skip_all 'no mount can be made here'
keys='candidates=fp16,int4_g16,bnb_int8 min_compression=2 eval_samples=2 context=64'

# Only int4_g16 is so small: times do not decide.
# shellcheck disable=SC2086
ok 'the command line' "$tenpak" optimize -q --json "$dir/m" $keys
cp "$tmp/.out" "$tmp/line.json"
is 'its winner' "$(jq -r '.winner.codec' "$tmp/line.json")" int4_g16
is 'all candidates are done' "$(jq -c '[.candidates_evaluated, .candidates_total, (.all_candidates | length)]' "$tmp/line.json")" '[3,3,3]'
is 'the mount shows it' "$(ls "$mnt")" "$(printf 'm\nm~int4_g16')"
ok 'as a model directory' test -f "$mnt/m~int4_g16/model.safetensors"
ok 'the original is as it was' diff -r "$dir/m" "$tmp/original"
is 'the report has the size of its file' "$(jq .stored_bytes "$tmp/line.json")" "$(stat -c %s "$dir/m~int4_g16.tnpk")"
is 'which is the measured size and about 1 KiB' "$(jq '.stored_bytes - .winner.pack_bytes | . > 0 and . < 1500' "$tmp/line.json")" true
ok 'text of the winner' "$tenpak" generate --prompt=She --max-tokens=3 "$dir/m~int4_g16"
exits 'no candidate meets the limits' 5 "$tenpak" optimize -q "$dir/m" candidates=fp16 min_compression=9 eval_samples=2 context=64
exits 'which is said in a table' 5 "$tenpak" optimize "$dir/m" candidates=int4_g8 min_compression=9 eval_samples=2 context=64 keep=none
has 'a size in the best case is a bound' "$tmp/.out" ' int4_g8  *<[0-9.]*x '
is 'nothing is said of a winner, or of measured speeds' "$(grep -c 'the winner\|speed on' "$tmp/.out")" 0
exits 'as a job, too' 5 "$tenpak" optimize -q --job "$dir" m candidates=fp16 min_compression=9 eval_samples=2 context=64
is 'the job is completed' "$(jq -r '"\(.status) \(.result.winner) \(.result.binding.limit)"' "$control/jobs/last/report.json")" 'completed null min_compression'

echo "m $keys" >"$control/optimize"
cat "$control/jobs/last/wait" >"$tmp/end.json"
is 'a control file' "$(jq -r '"\(.status) \(.candidates_evaluated) \(.candidates_total)"' "$tmp/end.json")" 'completed 3 3'
is 'the same winner' "$(jq -c '.result.winner | [.codec, .perplexity, .compression]' "$control/jobs/last/report.json")" \
    "$(jq -c '.winner | [.codec, .perplexity, .compression]' "$tmp/line.json")"
is 'it is told in the dashboard' "$(grep -c '"pareto_front"' "$control/dashboard.html")" 1

"$tenpak" serve -q --listen 127.0.0.1:0 "$dir" >"$tmp/serve.out" 2>&1 &
server=$!
cleanup_fn end_child "$server"
wait_for 120 grep -q '^token: ' "$tmp/serve.out"
url=$(head -n 1 "$tmp/serve.out")
auth="Authorization: Bearer $(cat "$dir/.tenpak/token")"
curl -s -H "$auth" -H 'Content-Type: application/json' -o "$tmp/reply.json" "$url/optimize" \
    -d '{"model_id": "m", "candidates": "fp16,int4_g16,bnb_int8", "min_compression": 2, "eval_samples": 2, "context": 64}'
id=$(jq -r .job_id "$tmp/reply.json")
# ended: whether the search of HTTP has ended.
ended() {
    curl -s -H "$auth" -o "$tmp/run.json" "$url/optimize/$id"
    jq -e '.status | . != "pending" and . != "running"' "$tmp/run.json"
}
wait_for 240 ended
is 'HTTP' "$(jq -c '[.status, .winner.codec, .winner.perplexity, (.all_candidates | length)]' "$tmp/run.json")" \
    "$(jq -c '["completed", .winner.codec, .winner.perplexity, 3]' "$tmp/line.json")"
is 'the pack of the winner' "$(curl -s -H "$auth" "$url/artifact/$id" | sha256sum)" "$(sha256sum <"$dir/m~int4_g16.tnpk")"
tap_done
