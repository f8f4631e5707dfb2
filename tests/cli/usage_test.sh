#!/bin/sh
# SPDX-License-Identifier: MIT
# The command line: exit codes, one-line errors with a hint, help, and completion.
. "${top_srcdir:-.}/tests/lib.sh"
requires jq

# complains NAME CODE PATTERN ARGUMENT...: exit code, nothing on stdout, the first line of stderr matches.
complains() {
    name=$1
    want=$2
    pattern=$3
    shift 3
    "$tenpak" "$@" >"$tmp/out" 2>"$tmp/err"
    is "$name: exit code" $? "$want"
    has "$name: message" "$tmp/err" "^tenpak: $pattern"
    is "$name: nothing on standard output" "$(wc -c <"$tmp/out")" 0
}

mkdir "$tmp/empty"
complains 'unknown command' 2 "unknown command 'pakc'" pakc
complains 'unknown option' 2 "pack: unknown or ambiguous option '--bsae=x'" pack --bsae=x m
complains 'unknown letter' 2 "pack: unknown option '-x'" pack --json -xk m
complains 'missing argument of an option' 2 "pack: option '--base' needs an argument" pack m --base
complains 'argument to an option that takes none' 2 "pack: option '--keep' takes no argument" pack --keep=1 m
complains 'too few arguments' 2 'unpack: too few arguments' unpack
complains 'too many arguments' 2 "ls: unexpected argument 'b'" ls a b
complains 'bad number' 2 "pack: -j is a number from 1 to 1024, not '0'" pack -j 0 m
complains 'bad codec' 2 "pack: unknown codec 'lz4': use auto, delta, sparse, split or zstd" pack --codec=lz4 m
complains 'bad codec of a delta' 2 "delta compress: unknown codec 'raw'" delta compress -c raw -o o a b
complains 'two models for one output' 2 'pack: -o takes one model' pack -o f a b
complains 'output and keep' 2 'pack: -o leaves the original' pack -k -o f a
complains 'no output' 2 'delta compress: -o OUT' delta compress a b
complains 'output and job' 2 'pack: a job writes beside the model' pack --job -o f a
complains 'two models to estimate' 2 'estimate: one model at a time' estimate a b
complains 'group alone' 2 "'delta' needs one of its commands" delta
complains 'unknown of a group' 2 "unknown command 'delta frobnicate'" delta frobnicate
complains 'bad mount option' 2 "mount: unknown mount option 'cash'" mount -o cash=1G a b
complains 'bad cache size' 2 "mount: cache=SIZE is at least 1M" mount -o cache=big a b
complains 'a mount option without its value' 2 "mount: the mount option 'cache' needs a value" mount -o cache a b
complains 'an empty value' 2 "mount: the mount option 'pin' needs a value" mount -o hot=1G,pin= a b
complains 'a value too many' 2 "mount: the mount option 'ro' takes no value" mount -o ro=1 a b
complains 'and for the kernel' 2 "mount: the mount option 'nosuid' takes no value" mount -o nosuid=0 a b
complains 'a remount' 2 'mount: a mount cannot be changed' mount -o remount,ro a b
mkdir "$tmp/m"
echo '{}' >"$tmp/m/config.json"
complains 'no such candidate' 2 "optimize: there is no candidate 'int5': there is fp16, " optimize "$tmp/m" candidates=int5
complains 'a candidate twice' 2 "optimize: the candidate 'fp16' is there twice" optimize --candidates=fp16,fp16 "$tmp/m"
complains 'no such hardware' 2 "optimize: there is no hardware 'abacus': there is local, " optimize "$tmp/m" hardware=abacus
complains 'no such hardware for a job' 2 "optimize: there is no hardware 'abacus'" optimize --job "$tmp" m hardware=abacus
complains 'a value out of range' 2 "optimize: 'max_ppl_delta' must be from 0 to" optimize --max-ppl-delta=-1 "$tmp/m"
complains 'a stride above the context' 2 "eval: 'stride' is 4, more than 'context', 2" eval "$tmp/m" stride=4 --context=2
complains 'a stride without a convention of one' 2 "eval: windows of the convention 'llama.cpp'" eval "$tmp/m" \
    stride=4 convention=llama.cpp
complains 'no such dtype' 2 "eval: 'dtype' must be one of fp32, " eval "$tmp/m" dtype=fp7
complains 'no such dtype to generate in' 2 "generate: unknown dtype 'fp7': use fp32, " generate "$tmp/m" dtype=fp7
complains 'no such target' 2 "pack: there is no target, candidate or method 'awk'" pack --target=awk "$tmp/m"
complains 'no such target for a job' 2 "pack: there is no target, candidate or method 'awk'" pack --job "$tmp" m target=awk
complains 'no such number of bits' 2 "pack: '5' is no number of bits" pack --target=gptq:128:5 "$tmp/m"
complains 'a method without groups' 2 "pack: the method 'nf4' has no groups" pack --target=nf4:64 "$tmp/m"
complains 'a target and a size' 2 "pack: 'target' and 'target_size' exclude" pack --target=awq --target-size=9M "$tmp/m"
complains 'a target and a codec' 2 "pack: 'codec' is of exact packs" pack --target=awq --codec=zstd "$tmp/m"
complains 'a size that is none' 2 "pack: 'target_size' must be a size" pack --target-size=big "$tmp/m"
complains 'a base without a name' 2 "estimate: 'base' has no value" estimate --base= "$tmp/m"
complains 'a base that is absent' 1 "there is no model 'absent'" estimate --base=absent "$tmp/m"
rm -r "$tmp/m" "$tmp/.tenpak"
complains 'absent file' 1 "cannot open '$tmp/none': No such file or directory" info "$tmp/none"
complains 'absent directory' 1 "cannot .*'$tmp/none'.*: No such file or directory" ls "$tmp/none"
complains 'no model' 1 "'$tmp/empty' holds no model" pack "$tmp/empty"
complains 'no pack' 1 "'$tmp/empty' is a directory, not a pack" unpack "$tmp/empty"
complains 'no mount' 1 "no tenpak mount" umount "$tmp/empty"
complains 'no mount to examine' 1 "no tenpak mount at" doctor "$tmp/empty"

exits 'no command' 2 "$tenpak"
TENPAK_THREADS=many "$tenpak" pack m >"$tmp/out" 2>"$tmp/err"
is 'bad TENPAK_THREADS: exit code' $? 2
has 'bad TENPAK_THREADS: message' "$tmp/err" "TENPAK_THREADS is a number"
"$tenpak" pack --bogus >/dev/null 2>"$tmp/err"
has 'usage errors show the way on' "$tmp/err" "^try 'tenpak pack --help'"
is 'and only that' "$(wc -l <"$tmp/err")" 2

# Help of every command has its usage line, its options and an example that begins with its name.
"$tenpak" --list-commands >"$tmp/commands"
while IFS='	' read -r command summary; do
    # shellcheck disable=SC2086
    "$tenpak" $command --help >"$tmp/help" 2>"$tmp/err"
    is "$command --help: exit code" $? 0
    has "$command --help: usage" "$tmp/help" "^usage: tenpak $command "
    has "$command --help: summary" "$tmp/help" "^$summary\$"
    has "$command --help: example" "$tmp/help" "^  tenpak $command"
    # shellcheck disable=SC2086
    "$tenpak" $command --list-options | cut -f 2 | while IFS= read -r option; do
        grep -q -e "$option" "$tmp/help" || echo "$option"
    done >"$tmp/missing"
    is "$command --help: has every option" "$(cat "$tmp/missing")" ''
done <"$tmp/commands"

# The codecs: help, completion, schemas and the list of the version say the same.
codecs=$("$tenpak" pack --list-options | awk -F '\t' '$2 == "--codec" { print $5 }')
is 'the codecs are listed' "$codecs" 'auto delta sparse split zstd'
"$tenpak" pack --help >"$tmp/help"
has 'help lists them' "$tmp/help" "^  -c, --codec=CODEC .*: auto (the default), delta, sparse, split or zstd\$"
is 'the schemas have the same ones' "$(jq -r '.. | objects | .enum | select(. != null) |
    select(index("auto") and index("zstd")) | map(select(.)) | join(" ")' \
    "$top_srcdir"/share/tenpak/schema/*.json "$top_srcdir/share/tenpak/openapi.json" | sort -u)" "$codecs"
is 'there are commands' "$([ "$(wc -l <"$tmp/commands")" -ge 13 ] && echo yes)" yes

ok 'help lists commands' "$tenpak" help
ok '--help as well' "$tenpak" --help
ok 'help of a command of a group' "$tenpak" help delta estimate
ok 'help of a group' "$tenpak" delta --help
"$tenpak" help exit-codes >"$tmp/out"
for code in 0 1 2 3 4 11 12 14 130; do
    has "exit code $code is printed" "$tmp/out" "^$code "
done

"$tenpak" version --json >"$tmp/version.json"
is 'version --json: codecs by id' \
    "$(jq -r '[.codecs[] | select(.built) | "\(.id)=\(.name)"] | join(" ")' "$tmp/version.json")" \
    '0=raw 1=same 2=zstd 3=split 4=delta 5=sparse 6=quant'
is 'version --json: format' "$(jq -r '.format_written' "$tmp/version.json")" 2
is '--version' "$("$tenpak" --version | head -n 1)" "tenpak $(jq -r .version "$tmp/version.json")"
TENPAK_CPU=scalar "$tenpak" version --json >"$tmp/version.json"
is 'TENPAK_CPU lowers the kernels' "$(jq -r .kernels.in_use "$tmp/version.json")" scalar

# It asks every mount that there is, also those of other tests, which are busy then: where that can be, copies of them.
apart() {
    "$@"
}
for how in -m -Urm; do
    unshare $how true 2>/dev/null && {
        apart() {
            unshare "$how" "$@"
        }
        break
    }
done
apart "$tenpak" doctor --json >"$tmp/doctor.json"
rc=$?
is 'doctor --json: exit code by its findings' \
    "$(jq 'if any(.findings[]; .level == "slow" or .level == "broken") then 1 else 0 end' "$tmp/doctor.json")" $rc
is 'doctor --json: fine says the same' "$(jq .fine "$tmp/doctor.json")" "$([ $rc -eq 0 ] && echo true || echo false)"
for check in dev_fuse fusermount3 allow_other max_pages_limit open_files memlock huge_pages memory cpu_kernels kernel; do
    is "doctor looks at $check" "$(jq "[.findings[] | select(.check == \"$check\")] | length" "$tmp/doctor.json")" 1
done
apart env TENPAK_CPU=scalar "$tenpak" doctor --json >"$tmp/doctor.json"
if [ "$(TENPAK_CPU='' "$tenpak" version --json | jq -r .kernels.best)" != scalar ]; then
    is 'doctor finds lowered kernels' \
        "$(jq -r '.findings[] | select(.check == "cpu_kernels") | "\(.level) \(.fix)"' "$tmp/doctor.json")" \
        'slow unset TENPAK_CPU'
fi

# --- with --json a failure is a document as well, and one only ---
mkdir "$tmp/empty" "$tmp/damaged"
: >"$tmp/damaged/bad.tnpk"
while IFS= read -r words; do
    # shellcheck disable=SC2086
    (cd "$tmp" && "$tenpak" $words) >"$tmp/failed.json" 2>"$tmp/err"
    is "'$words': fails" "$([ $? -ne 0 ] && echo yes)" yes
    is "'$words': its document gives the reason" "$(jq -s 'length == 1 and (.[0].error | .errno > 0 and (.name | startswith("E")))' \
        "$tmp/failed.json")" true
    is "'$words': as standard error does" "$(jq -r '"tenpak: " + .error.message' "$tmp/failed.json")" "$(sed 1q "$tmp/err")"
done <<'END'
ls --json absent
info --json absent
info --json damaged/bad
info --json empty
unpack --json absent
unpack --json damaged/bad
status --json empty
jobs --json absent
estimate --json absent
estimate --job --json empty absent
compress --json absent model
restore --json empty absent
delta estimate --json absent empty
delta compress --json absent empty -o out.tnpk
delta reconstruct --json absent -o out
doctor --json empty
END
"$tenpak" pack --json "$tmp/absent" >"$tmp/failed.json" 2>/dev/null
is 'pack --json counts what failed' "$(jq -c '[.failed, (.models | length)]' "$tmp/failed.json")" '[1,0]'
"$tenpak" verify --json "$tmp/absent" "$tmp/empty" >"$tmp/failed.json" 2>/dev/null
is 'verify --json counts what failed' "$(jq -c '[.failed, .bad, .verified]' "$tmp/failed.json")" '[1,0,0]'
"$tenpak" ls --json --nothing >"$tmp/failed.json" 2>/dev/null
is 'a command line that is wrong has no document' "$(wc -c <"$tmp/failed.json")" 0

if [ -w /dev/full ]; then
    "$tenpak" version >/dev/full 2>"$tmp/err"
    is 'a full standard output: exit code' $? 1
    has 'a full standard output: message' "$tmp/err" 'cannot write to standard output: No space left on device'
    "$tenpak" version --json >/dev/full 2>"$tmp/err"
    is 'a full standard output, JSON: exit code' $? 1
fi
tap_done
