#!/bin/sh
# SPDX-License-Identifier: MIT
# tenpak serve: jobs over HTTP, ranges of an artifact, every refusal with its code, the token, the end.
. "${top_srcdir:-.}/tests/lib.sh"
requires curl jq
mkmodel=$top_builddir/tests/mkmodel

d=$tmp/models
mkdir "$d"
"$tenpak" serve "$tmp/nowhere" >"$tmp/out" 2>&1
grep -q 'no HTTP server' "$tmp/out" && skip_all 'this build has no HTTP server'
has 'a directory that is not there is refused' "$tmp/out" 'nowhere'

for n in 1 2 3; do
    "$mkmodel" --noise=0.05 --noise-seed=$n "$d/tuned-$n"
done
"$mkmodel" "$d/base"
cp -r "$d" "$tmp/originals"

# serve [OPTION...]: $server is its process, $url where it is.
serve() {
    : >"$tmp/serve.out"
    "$tenpak" serve --listen 127.0.0.1:0 "$@" "$d" >"$tmp/serve.out" 2>"$tmp/serve.err" &
    server=$!
    cleanup_fn end_child "$server"
    wait_for 120 grep -q '^token: ' "$tmp/serve.out" || {
        sed 's/^/# /' "$tmp/serve.err"
        return 1
    }
    url=$(head -n 1 "$tmp/serve.out")
}

# call METHOD PATH [CURL-OPTION...]: the code; the body in $tmp/body, headers in $tmp/head.
call() {
    method=$1 path=$2
    shift 2
    curl -s -X "$method" -H "Authorization: Bearer $token" -D "$tmp/head" -o "$tmp/body" -w '%{http_code}' "$@" "$url$path"
}

# post PATH BODY [CURL-OPTION...]
post() {
    path=$1 body=$2
    shift 2
    call POST "$path" -H 'Content-Type: application/json' --data-binary "$body" "$@"
}

header() {
    tr -d '\r' <"$tmp/head" | sed -n "s/^$1: //Ip"
}

ended() {
    call GET "/status/$1" >/dev/null
    jq -e '.status | . != "pending" and . != "running"' "$tmp/body"
}

# --- The token ---

serve || fail 'it starts'
token=$(cat "$d/.tenpak/token")
is 'serve creates a token' "$(tail -n 1 "$tmp/serve.out")" "token: $d/.tenpak/token"
is 'only the owner may read the token' "$(stat -c %a "$d/.tenpak/token")" 600
is 'the token has 256 bits' "${#token}" 64
is 'health needs no token' "$(curl -s -o "$tmp/body" -w '%{http_code}' "$url/")" 200
is 'health reports ok' "$(jq -r .status "$tmp/body")" ok
is 'a server on the loopback address is not exposed' "$(jq .exposed "$tmp/body") $(cat "$tmp/serve.err")" 'false '
is 'openapi.json needs no token' "$(curl -s -o "$tmp/body" -w '%{http_code}' "$url/openapi.json")" 200
ok 'openapi.json is the installed file' cmp "$tmp/body" "$top_srcdir/share/tenpak/openapi.json"
for path in /jobs /status/x /artifact/x /optimize/candidates /nothing; do
    is "no token for $path: 401" "$(curl -s -o "$tmp/body" -w '%{http_code}' "$url$path")" 401
done
is 'a wrong token: 401' "$(curl -s -H "Authorization: Bearer ${token}0" -D "$tmp/head" -o "$tmp/body" -w '%{http_code}' "$url/jobs")" 401
is 'a 401 names the scheme' "$(header WWW-Authenticate)" 'Bearer realm="tenpak"'
is 'errors are JSON' "$(jq -r '.error, .errno' "$tmp/body" | tr '\n' ' ')" 'EACCES 13 '
is 'the default address is the loopback address' "$(case $url in http://127.0.0.1:*) echo yes ;; esac)" yes

# --- Jobs ---

is 'an estimate is accepted' "$(post /delta/estimate '{"model": "tuned-1", "base": "base"}')" 202
id=$(jq -r .job_id "$tmp/body")
is 'the reply to an estimate has the location of the job' "$(header Location)" "/status/$id"
ok 'it ends' wait_for 120 ended "$id"
is 'the estimate completes' "$(jq -r .status "$tmp/body")" completed
is 'the report of the estimate can be read' "$(call GET "/report/$id")" 200
ok 'the report of the estimate has an interval' jq -e '.result | .stored_bytes_low <= .stored_bytes and .stored_bytes <= .stored_bytes_high' "$tmp/body"
is 'an estimate has no artifact: 404' "$(call GET "/artifact/$id")" 404

is 'three at once: the first' "$(post /compress '{"model": "tuned-1", "base": "base", "id": "once"}')" 202
first=$(jq -r .job_id "$tmp/body")
is 'three at once: the second' "$(post /delta/compress '{"model": "tuned-2", "base": "base", "nice": 5.0}')" 202
second=$(jq -r .job_id "$tmp/body")
is 'three at once: the third' "$(post /compress '{"model": "tuned-3", "threads": 1, "memory": 1073741824}')" 202
third=$(jq -r .job_id "$tmp/body")
is 'the same id= is the same job' "$(post /compress '{"model": "tuned-1", "base": "base", "id": "once"}') $(jq -r .job_id "$tmp/body")" "202 $first"
is 'an id= of another model is refused' "$(post /compress '{"model": "tuned-2", "base": "base", "id": "once"}') $(jq -r .error "$tmp/body")" '409 EINVAL'
is 'an id= with another key is refused' "$(post /compress '{"model": "tuned-1", "base": "base", "id": "once", "nice": 3}') $(jq -r .error "$tmp/body")" '409 EINVAL'
for job in "$first" "$second" "$third"; do
    ok 'one of the three ends' wait_for 120 ended "$job"
    is 'one of the three is completed' "$(jq -r .status "$tmp/body")" completed
done
is '/jobs lists jobs, the newest first' "$(call GET /jobs) $(jq -r '[.jobs[].job_id] | . == (sort | reverse) and length == 4' "$tmp/body")" '200 true'
is 'the three models are packs' "$(find "$d" -maxdepth 1 -name 'tuned-*' | sort | tr '\n' ' ')" "$d/tuned-1.tnpk $d/tuned-2.tnpk $d/tuned-3.tnpk "
is 'the requester is recorded' "$(jq -r '.jobs[0].requester | "\(.uid) \(.command)"' "$tmp/body")" "$(id -u) tenpak serve"

# --- The artifact and its ranges ---

pack=$d/tuned-1.tnpk
size=$(stat -c %s "$pack")
is 'an artifact can be read' "$(call GET "/artifact/$first")" 200
ok 'the artifact is the pack' cmp "$tmp/body" "$pack"
etag=$(header ETag)
is 'the ETag of an artifact is the id of the pack' "$etag" "\"$("$tenpak" info --json "$pack" | jq -r .id)\""
# part RANGE FIRST LENGTH
part() {
    is "range $1: 206" "$(call GET "/artifact/$first" -H "Range: bytes=$1")" 206
    tail -c +$(($2 + 1)) "$pack" | head -c "$3" >"$tmp/part"
    ok "range $1: these bytes" cmp "$tmp/body" "$tmp/part"
    is "range $1: says which" "$(header Content-Range)" "bytes $2-$(($2 + $3 - 1))/$size"
}
part 0-15 0 16
part 100-199 100 100
part "$((size - 7))-" "$((size - 7))" 7
part -9 "$((size - 9))" 9
part "10-$((size * 2))" 10 "$((size - 10))"
part 3-99999999999999999999 3 "$((size - 3))"
is 'a range beyond the end: 416' "$(call GET "/artifact/$first" -H "Range: bytes=$size-")" 416
is 'a 416 has the size' "$(header Content-Range)" "bytes */$size"
is 'a range from a number that is too large to one below it: whole' "$(call GET "/artifact/$first" -H "Range: bytes=99999999999999999999-5")" 200
is 'an open range from a number that is too large: 416' "$(call GET "/artifact/$first" -H "Range: bytes=99999999999999999999-")" 416
is 'a 416 has an error in JSON' "$(jq -r .error "$tmp/body")" ERANGE
is 'an invalid range: whole' "$(call GET "/artifact/$first" -H 'Range: bytes=9-3')" 200
is 'two ranges: whole' "$(call GET "/artifact/$first" -H 'Range: bytes=0-1,4-5')" 200
is 'If-None-Match with the present ETag: 304' "$(call GET "/artifact/$first" -H "If-None-Match: $etag")" 304
is 'If-Range with another ETag: whole' "$(call GET "/artifact/$first" -H 'Range: bytes=0-1' -H 'If-Range: "x"')" 200
is 'HEAD has the size' "$(curl -sI -H "Authorization: Bearer $token" "$url/artifact/$first" | tr -d '\r' | sed -n 's/^Content-Length: //Ip')" "$size"
curl -s -H "Authorization: Bearer $token" -r 0-9999 -o "$tmp/resumed" "$url/artifact/$first"
curl -s -H "Authorization: Bearer $token" -C - -o "$tmp/resumed" "$url/artifact/$first"
ok 'a download that is resumed' cmp "$tmp/resumed" "$pack"
cp "$d"/*.tnpk "$tmp/" && "$tenpak" unpack -q -o "$tmp/unpacked" "$tmp/tuned-1.tnpk"
ok 'the unpacked artifact equals the original' diff -r "$tmp/unpacked" "$tmp/originals/tuned-1"

# --- Refusals ---

# refused WANT ERROR NAME CODE
refused() {
    is "$3: $1" "$4 $(jq -r .error "$tmp/body")" "$1 $2"
}
refused 400 EINVAL 'invalid JSON' "$(post /compress '{"model": ')"
refused 400 EINVAL 'the words of a shell' "$(post /compress 'tuned-1 base=base')"
refused 400 EINVAL 'two objects' "$(post /compress '{"model": "base"}
{"model": "base"}')"
refused 422 EINVAL 'an array' "$(post /compress '[]')"
refused 422 EINVAL 'no model' "$(post /compress '{}')"
refused 422 EINVAL 'an unknown key' "$(post /compress '{"model": "base", "speed": 9}')"
refused 422 EINVAL 'a number as a text' "$(post /compress '{"model": "base", "threads": "4"}')"
refused 422 ERANGE 'beyond a bound' "$(post /compress '{"model": "base", "nice": 20}')"
refused 422 EINVAL 'a delta without a base' "$(post /delta/compress '{"model": "base"}')"
refused 404 ENOENT 'no such model' "$(post /compress '{"model": "nobody"}')"
refused 404 ENOENT 'out of the directory' "$(post /compress '{"model": "../originals/tuned-1"}')"
refused 404 ENOENT 'an absolute path' "$(post /compress "{\"model\": \"$tmp/originals/tuned-1\"}")"
refused 404 ENOENT 'the control directory' "$(post /compress '{"model": ".tenpak"}')"
refused 404 ENOENT 'no such job' "$(call GET /status/20200101-000000-1)"
refused 404 ENOENT 'no id at all' "$(call GET /status/../../etc --path-as-is)"
refused 404 ENOENT 'an id with an escape' "$(call GET '/status/%2e%2e%2fjobs')"
refused 404 ENOENT 'a long id' "$(call GET "/status/$(printf '%0500d' 1)")"
refused 404 ENOENT 'no run of the optimizer' "$(call GET "/optimize/$first")"
refused 404 ENOENT 'no such path' "$(call GET /jobs/)"
refused 405 EPERM 'POST where GET is' "$(post /jobs '{}')"
is 'a 405 names the allowed methods' "$(header Allow)" 'GET, HEAD'
refused 405 EPERM 'GET where POST is' "$(call GET /compress)"
refused 415 EINVAL 'a form' "$(call POST /compress -d 'model=base')"
head -c 70000 /dev/zero | tr '\0' ' ' >"$tmp/blanks"
refused 413 E2BIG 'a body of 70 KB' "$(post /compress "@$tmp/blanks")"
refused 404 ENOENT 'no such reference' "$(post /evaluate '{"model": "base", "reference": "nobody"}')"
refused 422 ERANGE 'a context of one token' "$(post /evaluate '{"model": "base", "context": 1}')"
refused 404 ENOENT 'no such hardware' "$(post /optimize '{"model": "base", "hardware": "abacus"}')"
refused 404 ENOENT 'no such candidate' "$(post /optimize '{"model_id": "base", "candidates": "abacus"}')"
refused 404 ENOENT 'no such target' "$(post /compress '{"model": "base", "target": "abacus"}')"
refused 409 EDOM 'a target and a size' "$(post /compress '{"model": "base", "target": "awq", "target_size": 99999999}')"
refused 422 EINVAL 'a model that is named twice' "$(post /optimize '{"model_id": "base", "model": "base"}')"
refused 404 ENOENT 'no such folder of the hub' "$(post /optimize '{"model_id": "org/name"}')"
is 'candidates' "$(call GET /optimize/candidates) $(jq -r '.candidates | length, .[0].codec' "$tmp/body" | tr '\n' ' ')" '200 12 fp16 '
is 'machines' "$(call GET /optimize/hardware) $(jq -r '.machines[] | select(.name == "h100") | .dollars_per_hour, .figures' "$tmp/body" | tr '\n' ' ')" '200 8 estimated '
refused 409 EINVAL 'its own base' "$(post /compress '{"model": "base", "base": "base"}')"
refused 409 EEXIST 'what is a pack already' "$(post /compress '{"model": "base"}')"
head -c 3000000 /dev/zero >"$tmp/zeros"
curl -s -H "Authorization: Bearer $token" -H 'Content-Type: application/json' -H 'Expect:' --data-binary "@$tmp/zeros" \
    -o /dev/null "$url/compress"
is 'a flood ends its connection, not the server' "$(call GET /)" 200
is 'refused requests make no jobs' "$(call GET /jobs) $(jq '.jobs | length' "$tmp/body")" '200 4'

# More connections than it takes, which say nothing or too little, and go again.
"$PYTHON" - "${url##*:}" <<'END'
import socket, sys, time
port = int(sys.argv[1])
held = []
for i in range(120):
    s = socket.socket()
    s.settimeout(5)
    try:
        s.connect(("127.0.0.1", port))
        s.sendall([b"", b"GET / HT", b"POST /compress HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{", b"\0" * 99][i % 4])
    except OSError:
        pass
    held.append(s)
time.sleep(0.3)
END
# The server notices their end, and accepts connections again.
answers() {
    [ "$(call GET /)" = 200 ]
}
ok 'silent connections do not block the server' wait_for 120 answers
is 'random bytes instead of a request do not harm the server' "$(head -c 100000 /dev/urandom | curl -s --http0.9 -m 10 "telnet://${url#http://}" >/dev/null; call GET /)" 200

# What was packed anew is another artifact.
"$tenpak" unpack -q "$pack"
is 'the artifact of a removed pack: 404' "$(call GET "/artifact/$first")" 404

# --- The end ---

kill -TERM "$server"
wait "$server"
is 'SIGTERM ends the server with code 0' "$?" 0
is 'the server writes nothing to stderr' "$(cat "$tmp/serve.err")" ''
ok 'records stay after the end of the server' test -f "$d/.tenpak/jobs/$first/report.json"

# A job that runs when it ends leaves the model as it was.
"$mkmodel" --layers=8 --hidden=512 --inter=1408 --vocab=8192 "$d/large"
serve || fail 'it starts again'
is 'a new server uses the same token' "$(cat "$d/.tenpak/token")" "$token"
is 'a new server lists earlier jobs' "$(call GET /jobs) $(jq '.jobs | length' "$tmp/body")" '200 4'
begin_large() {
    post /compress '{"model": "large", "base": "none", "codec": "zstd", "zstd_level": 19, "threads": 1}' >/dev/null
    id=$(jq -r .job_id "$tmp/body")
}
running() {
    call GET "/status/$id" >/dev/null
    jq -e '.status == "running" and .progress.done_bytes > 0' "$tmp/body"
}
begin_large
ok 'a job runs' wait_for 120 running
is 'cancelling needs the token' "$(curl -s -X POST -o "$tmp/body" -w '%{http_code}' "$url/jobs/$id/cancel")" 401
refused 405 EPERM 'GET does not cancel' "$(call GET "/jobs/$id/cancel")"
is 'GET of cancel names POST' "$(header Allow)" POST
is 'POST cancels: 202' "$(call POST "/jobs/$id/cancel") $(jq -r .job_id "$tmp/body")" "202 $id"
is 'the reply to cancel has the location of the job' "$(header Location)" "/status/$id"
ok 'it ends' wait_for 120 ended "$id"
is 'the cancelled job ends as cancelled' "$(jq -r .status "$tmp/body")" cancelled
refused 409 EALREADY 'a job that has ended cannot be cancelled' "$(call POST "/jobs/$id/cancel")"
for bad in 20200101-000000-1 .. %2e%2e "$(printf '%0500d' 1)"; do
    refused 404 ENOENT "no job to cancel: $(printf '%.20s' "$bad")" "$(call POST "/jobs/$bad/cancel" --path-as-is)"
done
for path in "/jobs/$id" "/jobs/$id/" "/jobs//cancel" "/jobs/$id/cancel/" "/jobs/$id/x/cancel"; do
    refused 404 ENOENT "nothing is at ${path#"/jobs/$id"}" "$(call POST "$path")"
done
begin_large
ok 'a further job runs' wait_for 120 running
is 'a second job for its model: 409' "$(post /compress '{"model": "large"}')" 409
is 'the artifact of a running job: 409' "$(call GET "/artifact/$id")" 409
kill -INT "$server"
wait "$server"
is 'SIGINT ends the server with code 0' "$?" 0
is 'the job of an ended server does not complete' "$(jq -r '.status | . == "cancelled" or . == "interrupted"' "$d/.tenpak/jobs/$id/status.json")" true
is 'the model of an ended job is unchanged' "$(find "$d" -maxdepth 1 -name '*large*' | sort | tr '\n' ' ')" "$d/large "

# --- Other tokens ---

printf 'a-token-of-my-own-choice\n' >"$tmp/token"
chmod 644 "$tmp/token"
exits 'a token that others can read is refused' 1 "$tenpak" serve --listen 127.0.0.1:0 --token-file "$tmp/token" "$d"
chmod 600 "$tmp/token"
serve --token-file "$tmp/token"
token=a-token-of-my-own-choice
is 'a connection is accepted when one is free' "$(call GET /jobs)" 200
kill "$server"
wait "$server"
serve --token-file "$tmp/token" --listen 0.0.0.0:0
is 'a server on all addresses is exposed' "$(curl -s "http://127.0.0.1:${url##*:}/" | jq .exposed)" true
has 'an exposed server warns about TLS' "$tmp/serve.err" 'no TLS'
kill "$server"
wait "$server"
printf 'short\n' >"$tmp/token"
exits 'a short one is refused' 1 "$tenpak" serve --listen 127.0.0.1:0 --token-file "$tmp/token" "$d"
exits 'an address that is none is refused' 1 "$tenpak" serve --listen localhost "$d"

# --- A directory that is read-only ---

if [ "$(id -u)" -eq 0 ] && mkdir "$tmp/small" && mount -t tmpfs -o size=4m tenpak-test "$tmp/small" 2>/dev/null; then
    cleanup_fn umount "$tmp/small"
    "$mkmodel" --layers=1 "$tmp/small/m"
    "$tenpak" pack -q --base=none "$tmp/small/m"
    mount -o remount,ro "$tmp/small"
    exits 'a server needs a token' 1 "$tenpak" serve --listen 127.0.0.1:0 "$tmp/small"
    is 'and says so in one line' "$(wc -l <"$tmp/.out")" 1
    has 'with the reason' "$tmp/.out" "small' cannot be written to"
    printf 'a-token-of-my-own-choice\n' >"$tmp/token"
    d="$tmp/small"
    serve --token-file "$tmp/token"
    has 'with one it says what there is not' "$tmp/serve.err" 'none is accepted'
    is 'in one line' "$(wc -l <"$tmp/serve.err")" 1
    is 'earlier jobs can be read' "$(call GET /jobs)" 200
    is 'and none is accepted' "$(post /evaluate '{"model": "m"}')" 403
    kill "$server"
    wait "$server"
else
    skip 'a read-only directory' 'no tmpfs can be mounted here'
fi
tap_done
