#!/bin/sh
# SPDX-License-Identifier: MIT
# Packs models, mounts the packs, compares every file, loads a model from the mount, and cleans up.
# Run by './bootstrap demo', which builds the program first.

set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
build=$(CDPATH='' cd -- "${TENPAK_BUILD:-$here/../build}" && pwd) || exit 1
tenpak=${TENPAK:-$build/tenpak}
venv=$build/demo-venv

usage() {
    cat <<'END'
Usage: demo.sh [DIR] [--transformers]

Without DIR: the models that the repository carries. DIR is a model directory, or a directory of
model directories; it is read and never written to. The packs go to a directory under $TMPDIR
(/tmp), which is removed at the end.

  --transformers    also generate text with transformers, installing it into a virtual environment
                    of the demo's own where it is missing (some 200 MB with PyTorch, or more)
END
}

die() {
    printf 'demo: %s\n' "$*" >&2
    exit 1
}

step() {
    printf '\n== %s\n' "$*"
}

# What is typed is shown as a user would type it.
run() {
    printf '$ tenpak'
    printf ' %s' "$@"
    printf '\n'
    "$tenpak" "$@"
}

# --- Cleaning up, however it ends ---------------------------------------------------------------------

tmp=
mounted=no

clean_up() {
    rc=$?
    trap - EXIT HUP INT TERM
    cd /
    if [ "$mounted" = yes ]; then
        fusermount3 -u "$tmp/mnt" 2>/dev/null || fusermount3 -uz "$tmp/mnt" 2>/dev/null || :
    fi
    [ -z "$tmp" ] || rm -rf "$tmp"
    exit "$rc"
}

# --- The models ---------------------------------------------------------------------------------------

# Bytes of all files below a directory, but for what a daemon that is ending takes away there.
bytes_of() {
    find -L "$1" -name .tenpak -prune -o -type f -printf '%s\n' | awk '{ sum += $1 } END { printf "%.0f\n", sum }'
}

human() {
    awk -v n="$1" 'BEGIN {
        split("B KiB MiB GiB TiB", unit, " ")
        for (i = 1; n >= 1024 && i < 5; i++) n /= 1024
        printf(i == 1 ? "%d %s" : "%.1f %s", n, unit[i])
    }'
}

is_model() {
    [ -f "$1/config.json" ] || [ -f "$1/adapter_config.json" ] ||
        [ -n "$(find -L "$1" -maxdepth 1 -name '*.safetensors' -type f -print -quit)" ]
}

# The directories of $original that hold a model, one a line.
list_models() {
    if [ -n "$only" ]; then
        printf '%s\n' "$only"
        return
    fi
    for entry in "$original"/*/; do
        entry=${entry%/}
        # A link is left out: another name for what is there already.
        if [ ! -L "$entry" ] && is_model "$entry"; then
            basename -- "$entry"
        fi
    done
}

# Models of $original that another one names as its base, in its card or its config.json.
named_bases() {
    list_models | while IFS= read -r name; do
        sed -n 's/^base_model: *//p' "$original/$name/README.md" 2>/dev/null || :
        sed -n 's/.*"\(base_model_\)\{0,1\}_\{0,1\}name_or_path": *"\([^"]*\)".*/\2/p' \
            "$original/$name/config.json" "$original/$name/adapter_config.json" 2>/dev/null || :
    done | sed 's,/*$,,; s,.*/,,' | sort -u | while IFS= read -r base; do
        [ -z "$base" ] || [ ! -d "$original/$base" ] || list_models | grep -Fx -e "$base" || :
    done
}

# Either DIR is one model, which then stands alone, or a directory of them.
choose_models() {
    if [ "$own" = no ]; then
        original=$here/models
        return
    fi
    [ -d "$directory" ] || die "'$directory' is not a directory"
    original=$(CDPATH='' cd -- "$directory" && pwd)
    if is_model "$original"; then
        only=${original##*/}
        original=${original%/*}
        original=${original:-/}
    fi
}

check_space() {
    need=$1
    free=$(df -Pk "$tmp" | awk 'NR == 2 { printf "%.0f\n", $4 * 1024 }')
    [ "$free" -gt "$need" ] || die "the packs may need $(human "$need") in ${TMPDIR:-/tmp}, where \
$(human "$free") are free; set TMPDIR to a roomier place"
}

show_models() {
    step "The models: $(human "$total")"
    list_models | while IFS= read -r name; do
        printf '%10s  %s\n' "$(human "$(bytes_of "$original/$name")")" "$name"
    done
}

# --- Loading ------------------------------------------------------------------------------------------

has_modules() {
    [ -x "$(command -v "$1")" ] && "$1" -c "$2" >/dev/null 2>&1
}

pip_install() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" >&2
}

make_venv() {
    has_modules "$venv/bin/python" 'import numpy, ml_dtypes, safetensors' && return 0
    printf '(installing safetensors into a virtual environment of its own)\n'
    python3 -m venv "$venv" && pip_install safetensors numpy ml_dtypes
}

# The Python that has transformers, or nothing.
find_transformers() {
    if [ "$transformers" = yes ] &&
        ! has_modules "$venv/bin/python" 'import torch, transformers'; then
        printf '(installing PyTorch and transformers)\n' >&2
        pip_install torch==2.13.0 && pip_install transformers
    fi
    for python in "$venv/bin/python" "$build/venv/bin/python" python3; do
        if has_modules "$python" 'import torch, transformers'; then
            printf '%s\n' "$python"
            return 0
        fi
    done
}

load_models() {
    step 'Loading from the mount with unmodified safetensors'
    if ! make_venv; then
        loaded='not loaded (no virtual environment)'
        printf '%s\n' "skipped: the virtual environment could not be made"
        return 0
    fi
    chosen=$(pick_to_load)
    "$venv/bin/python" "$here/load.py" "$tmp/mnt/$chosen" "$original/$chosen"
    loaded="'$chosen' loaded from the mount"
    python=$(find_transformers)
    if [ -n "$python" ]; then
        step 'Generating text with unmodified transformers, from the mount'
        generate "$python"
    elif [ "$own" = no ]; then
        printf '(transformers is not installed: --transformers installs it and generates text)\n'
    fi
}

# One model to load: of ours the sharded one, of the user's the smallest, an adapter only where there
# is nothing else.
pick_to_load() {
    if [ "$own" = no ]; then
        echo persuasion
        return
    fi
    list_models | while IFS= read -r name; do
        rank=1
        [ -f "$original/$name/config.json" ] || rank=2
        printf '%s %s %s\n' "$rank" "$(bytes_of "$original/$name")" "$name"
    done | sort -n -k 1,1 -k 2,2 | head -n 1 | cut -d ' ' -f 3-
}

generate() {
    if [ "$own" = no ]; then
        "$1" "$here/load.py" --generate "$tmp/mnt/base" "$tmp/mnt/persuasion" \
            "$tmp/mnt/sense-lora"
    else
        # The user's model may need more than is here: its failing is told and does not end the demo.
        "$1" "$here/load.py" --generate "$tmp/mnt/$chosen" ||
            printf '(transformers could not run %s, whose files are equal all the same)\n' "$chosen"
    fi
}

# --- The whole of it ----------------------------------------------------------------------------------

# The carried models are packed in place, in a copy; each base is found without being told.
pack_copies() {
    cp -R "$original" "$tmp/packs"
    list_models | while IFS= read -r name; do
        # A base is packed along with the first model that needs it.
        [ ! -d "$tmp/packs/$name" ] || run pack "packs/$name"
    done
}

# The user's directories stay untouched: a link to the model beside the packs made so far is what
# tenpak is told to pack, and among those packs it looks for the base.
pack_links() {
    mkdir "$tmp/packs"
    { named_bases && list_models; } | awk '!seen[$0]++' | while IFS= read -r name; do
        ln -s "$original/$name" "$tmp/packs/$name"
        run pack -o "packs/$name.tnpk" "packs/$name"
        rm "$tmp/packs/$name"
    done
}

pack_models() {
    step 'Packing'
    if [ "$own" = no ]; then
        pack_copies
    else
        check_space "$total"
        pack_links
    fi
}

show_mount() {
    step 'Mounting'
    mkdir "$tmp/mnt"
    run mount packs mnt
    mounted=yes
    (cd "$tmp/mnt" && find . -type f -printf '%11s  %P\n' | sort -k 2 | head -n 40)
    step 'What is stored'
    run ls packs
}

hash_all() {
    (cd "$1" && list_models | while IFS= read -r name; do
        find "./$name/" -type f -print0
    done | LC_ALL=C sort -z | xargs -0 -r sha256sum)
}

compare_files() {
    step 'Comparing the SHA-256 of every file'
    hash_all "$original" >"$tmp/before"
    hash_all "$tmp/mnt" >"$tmp/after"
    files=$(wc -l <"$tmp/before")
    if ! cmp -s "$tmp/before" "$tmp/after"; then
        diff "$tmp/before" "$tmp/after" | head -n 10 >&2
        die 'files of the mount differ from the originals'
    fi
    printf '%s files, all equal\n' "$files"
}

# The cheapest form of a carried model. A model of the user may take hours.
search_forms() {
    [ "$own" = no ] || return 0
    step 'Finding the cheapest form of persuasion of half the size, with a perplexity at most 5 % higher'
    run optimize --max-ppl-delta=5 --min-compression=2 --eval-samples=8 --context=256 packs/persuasion 2>/dev/null
    winner=$(cd "$tmp/packs" && echo persuasion~*.tnpk)
    winner=${winner%.tnpk}
    [ -f "$tmp/mnt/$winner/model.safetensors" ] || die "the mount does not show $winner"
    step 'Text generated by the winner'
    run generate --prompt='Anne could not' --max-tokens=40 "packs/$winner"
}

main() {
    own=no transformers=no directory='' only=''
    while [ $# -gt 0 ]; do
        case $1 in
        --transformers) transformers=yes ;;
        -h | --help) usage && exit 0 ;;
        -*) usage >&2 && exit 2 ;;
        *)
            [ -z "$directory" ] || die 'one directory at a time'
            directory=$1 own=yes
            ;;
        esac
        shift
    done
    [ -x "$tenpak" ] || die "there is no $tenpak: run ./bootstrap demo, which builds it"
    if [ ! -r /dev/fuse ] || [ ! -w /dev/fuse ]; then
        die 'no mount can be made here: /dev/fuse is missing, or not for this user'
    fi
    trap clean_up EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    tmp=$(mktemp -d "${TMPDIR:-/tmp}/tenpak-demo.XXXXXX")
    choose_models
    cd "$tmp"
    total=$(list_models | while IFS= read -r name; do bytes_of "$original/$name"; done |
        awk '{ sum += $1 } END { printf "%.0f\n", sum }')
    [ "$total" -gt 0 ] || die "no model in '$directory': neither it nor a directory in it has a \
config.json or a .safetensors file"
    show_models
    pack_models
    show_mount
    compare_files
    load_models
    stored=$(bytes_of "$tmp/packs")
    search_forms
    step 'Unmounting'
    run umount mnt
    mounted=no
    count=$(list_models | wc -l)
    [ "$count" -eq 1 ] && noun=model || noun=models
    printf '\n%s %s: %s stored as %s (%s times smaller); %s files equal by SHA-256; %s\n' \
        "$count" "$noun" "$(human "$total")" "$(human "$stored")" \
        "$(awk -v a="$total" -v b="$stored" 'BEGIN { printf "%.2f", a / b }')" "$files" "$loaded"
}

main "$@"
