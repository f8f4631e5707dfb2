#!/bin/sh
# SPDX-License-Identifier: MIT
# Help, manual and completion agree: every command, option and exit code is in each, and no others.
. "${top_srcdir:-.}/tests/lib.sh"
requires mandoc

# page_of COMMAND: the page that describes its options.
page_of() {
    case $1 in
    mount | optimize | pack) echo "$top_srcdir/man/tenpak-$1.1" ;;
    'delta compress') echo "$top_srcdir/man/tenpak-pack.1" ;; # as its target
    eval | generate) echo "$top_srcdir/man/tenpak-eval.1" ;;
    compress | restore | jobs | cancel) echo "$top_srcdir/man/tenpak-jobs.1" ;;
    *) echo "$top_srcdir/man/tenpak.1" ;;
    esac
}

# Plain text, without the overstrikes that make it bold.
for page in "$top_srcdir"/man/*.[15]; do
    mandoc -T ascii "$page" | sed 's/.\x08//g' >"$tmp/${page##*/}"
done

"$tenpak" --list-commands | cut -f 1 >"$tmp/commands"
while IFS= read -r command; do
    page=$(page_of "$command")
    # shellcheck disable=SC2086
    "$tenpak" $command --list-options >"$tmp/options"
    while IFS='	' read -r letter long rest; do
        case $letter in
        --*) long=$letter letter= ;; # no letter: read drops the empty field
        esac
        : "$rest"
        case $long in
        --json | --quiet | --help | --threads) where=$tmp/tenpak.1 ;;
        --job | --detach) where=$tmp/tenpak-jobs.1 ;;
        *) where=$tmp/${page##*/} ;;
        esac
        if [ -n "$letter" ]; then
            has "$command: $letter, $long is in the manual" "$where" "^ *$letter, $long"
        else
            has "$command: $long is in the manual" "$where" "^ *$long"
        fi
    done <"$tmp/options"
    has "$command is in the manual" "$tmp/tenpak.1" "^ *$command "
done <"$tmp/commands"

# The other way round: each long option that a page lists exists in a command that it describes.
while IFS= read -r command; do
    # shellcheck disable=SC2086
    "$tenpak" $command --list-options | cut -f 2
done <"$tmp/commands" | sort -u >"$tmp/known"
printf '%s\n' --version --list-commands --list-options --safetensors-load-strategy >>"$tmp/known"
cat "$tmp"/tenpak*.1 | grep -o -e '--[a-z][a-z0-9-]*' | sort -u >"$tmp/named"
grep -v -x -F -f "$tmp/known" "$tmp/named" >"$tmp/unknown"
is 'the manual names no option that does not exist' "$(cat "$tmp/unknown")" ''
"$tenpak" help exit-codes | grep '^[0-9]' | cut -d ' ' -f 1 >"$tmp/codes"
sed -n '/^EXIT STATUS/,/^EXAMPLES/p' "$tmp/tenpak.1" | grep -o '^ *[0-9][0-9]* ' | tr -d ' ' >"$tmp/manual-codes"
is 'the same exit codes' "$(tr '\n' ' ' <"$tmp/manual-codes")" "$(tr '\n' ' ' <"$tmp/codes")"

# Completion in a real shell.
if command -v bash >/dev/null 2>&1; then
    # complete WORD...: what bash would offer for the last word.
    complete_words() {
        PATH="${tenpak%/*}:$PATH" bash --norc -c '
            . "$0"
            COMP_WORDS=(tenpak "$@") COMP_CWORD=$#
            _tenpak 2>/dev/null
            printf "%s\n" "${COMPREPLY[@]}"' "$top_srcdir/completion/tenpak.bash" "$@" | sort | tr '\n' ' '
    }
    is 'completion of a command' "$(complete_words un)" 'unpack '
    is 'completion of commands' "$(complete_words '')" "$(cut -d ' ' -f 1 "$tmp/commands" | sort -u | tr '\n' ' ')"
    is 'completion of a command of a group' "$(complete_words delta e)" 'estimate '
    is 'completion of an option' "$(complete_words pack --dr)" '--dry-run '
    is 'completion of an option of a command of a group' "$(complete_words delta compress --out)" '--output '
    is 'completion of a codec' "$(complete_words pack --codec = s)" 'sparse split '
    is 'completion of a codec after a letter' "$(complete_words pack -c z)" 'zstd '
    complete_words mount -o '' | tr ' ' '\n' | sed '/^$/d; s/=$//' >"$tmp/offered"
    sed -n 's/^\.It Cm \([a-z_]*\)\( Ns.*\)\{0,1\}$/\1/p' "$top_srcdir/man/tenpak-mount.1" | sort -u >"$tmp/told"
    ok 'completion of mount options: those of the manual' diff "$tmp/told" "$tmp/offered"
    ok 'the completion of zsh has them, too' sh -c 'while read -r word; do
            grep "OPT,\.\.\." "$1" | grep -qE "[ '"'"']$word[: ]" || { echo "$word"; exit 1; }; done <"$2"' \
        sh "$top_srcdir/completion/_tenpak" "$tmp/told"
    is 'completion of a second mount option' "$(complete_words mount -o ro,ca)" 'ro,cache= '
    is 'completion of a base' "$(cd "$tmp" && complete_words pack --base = no)" 'none '
    is 'completion of a key of a job' "$(complete_words pack --job models zs)" 'zstd_level= '
    is 'completion of a key of an alias' "$(complete_words compress models zs)" 'zstd_level= '
    is 'completion of a key that the command has not' "$(complete_words restore models zs)" ' '
    mkdir -p "$tmp/dir/model"
    : >"$tmp/dir/pack.tnpk"
    : >"$tmp/dir/note.txt"
    is 'completion of paths: packs and directories' "$(cd "$tmp/dir" && complete_words info '')" 'model pack.tnpk '
else
    skip 'completion' 'bash is not installed'
fi
if command -v zsh >/dev/null 2>&1; then
    ok 'the completion of zsh parses' zsh -n "$top_srcdir/completion/_tenpak"
    # What zsh itself completes, at a terminal: WORDS, a tab, and what must then appear.
    cat >"$tmp/at_terminal.py" <<'END'
import fcntl, os, pty, select, struct, sys, termios, time
completions, program, typed, wanted = sys.argv[1:]
pid, fd = pty.fork()
if pid == 0:
    os.environ["PATH"] = os.path.dirname(program) + ":" + os.environ["PATH"]
    os.execvp("zsh", ["zsh", "-f", "-i"])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 400, 0, 0))
seen = b""


def until(text):
    global seen
    deadline = time.monotonic() + 120
    while text.encode() not in seen:
        if time.monotonic() > deadline or not select.select([fd], [], [], 120)[0]:
            sys.exit(f"no {text!r} in {seen!r}")
        seen += os.read(fd, 65536)
    seen = b""


os.write(fd, f"fpath=({completions} $fpath); autoload -U compinit; compinit -u -D; print rea''dy\n".encode())
until("ready\r")
os.write(fd, typed.encode() + b"\t")
until(wanted)
os.write(fd, b"\x03")
os.close(fd)
os.waitpid(pid, 0)
END
    while IFS='|' read -r typed wanted; do
        ok "zsh completes '$typed'" timeout 300 "$PYTHON" "$tmp/at_terminal.py" "$top_srcdir/completion" "$tenpak" \
            "$typed" "$wanted"
    done <<'END'
tenpak unp|ack
tenpak delta rec|onstruct
tenpak delta compress --ou|tput
tenpak pack -c del|ta
tenpak pack --base=no|ne
tenpak mount -o ro,cac|he
END
    # What its own functions would offer for the last word, with zsh's standing in.
    cat >"$tmp/complete.zsh" <<'END'
compset() { PREFIX=${PREFIX#*=}; }
_files() { print FILES; }
_message() { print "MESSAGE $*"; }
_alternative() { print -l -- "$@"; }
compadd() { print -l -- "$@"; }
_arguments() { eval "${@[-1]#*:*:}"; }
file=$1
shift
words=("$@") CURRENT=$# PREFIX=$words[-1]
. $file
END
    complete_zsh() {
        PATH="${tenpak%/*}:$PATH" zsh -f "$tmp/complete.zsh" "$top_srcdir/completion/_tenpak" tenpak "$@" | tr '\n' ' '
    }
    is 'zsh: keys of a job' "$(complete_zsh compress models m '')" \
        '-S  -- threads= memory= nice= io= id= base= codec= zstd_level= keep= dereference= FILES '
    is 'zsh: those that the command has' "$(complete_zsh restore models m '')" \
        '-S  -- threads= memory= nice= io= id= keep= FILES '
    is 'zsh: the directory first' "$(complete_zsh compress '')" 'FILES '
    is 'zsh: none in the foreground' "$(complete_zsh verify models m)" 'FILES '
    is 'zsh: with --job' "$(complete_zsh verify --job models m)" '-S  -- threads= memory= nice= io= id= FILES '
    is 'zsh: words of a key' "$(complete_zsh compress models m io=)" '-- normal idle '
    is 'zsh: keys of an act as a job' "$(complete_zsh unpack --detach models m)" '-S  -- threads= memory= nice= io= id= keep= FILES '
    is 'zsh: models of a key' "$(complete_zsh estimate --job models m base=)" 'words:base:(auto none) files:model:_files '
else
    skip 'the completion of zsh parses' 'zsh is not installed'
fi
tap_done
