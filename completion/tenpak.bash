# SPDX-License-Identifier: MIT
# bash completion for tenpak: commands and options come from the program itself.

_tenpak_commands() {
    command tenpak --list-commands 2>/dev/null | cut -f 1
}

_tenpak_options() {
    # shellcheck disable=SC2086
    command tenpak $1 --list-options 2>/dev/null
}

# Whether the words are those of a job.
_tenpak_is_job() {
    case $1 in
    compress | restore) return 0 ;;
    pack | unpack | estimate | verify | eval | optimize) [[ " ${COMP_WORDS[*]} " = *\ --job\ * || " ${COMP_WORDS[*]} " = *\ --detach\ * ]] ;;
    *) return 1 ;;
    esac
}

# The keys of a job.
_tenpak_keys() {
    echo 'threads= memory= nice= io= id='
    case $1 in
    compress | pack) echo 'base= codec= zstd_level= keep= dereference= lease= target= calibration= samples= context=' ;;
    estimate) echo 'base= dereference=' ;;
    eval) echo 'text= reference= convention= context= stride= samples= add_bos= dtype= timing= batch= prompt_tokens= new_tokens=' ;;
    optimize)
        echo 'hardware= max_ppl_delta= max_latency_ms= max_latency_p99_ms= min_throughput_tps= min_compression= max_memory='
        echo 'candidates= text= calibration= eval_samples= context= batch= keep= embeddings='
        ;;
    restore | unpack) echo 'keep=' ;;
    esac
}

# Models, packs and directories: what every command takes.
_tenpak_paths() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -d -- "$1"; compgen -f -X '!*.tnpk' -- "$1")
}

# Mount options, of which several stand in one word, and some take a value.
_tenpak_mount_options() {
    local before=
    [[ $1 != *,* ]] || before=${1%,*},
    compopt -o nospace 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -P "$before" -W 'ro allow_other cache= control= control_gid= hot= hot_dir= jobs= pin=
        threads= debug' -- "${1##*,}")
}

_tenpak() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local command=${COMP_WORDS[1]} first=1 argument
    COMPREPLY=()

    if [ "$COMP_CWORD" -gt 1 ] && _tenpak_commands | grep -q "^$command "; then
        command="$command ${COMP_WORDS[2]}"
        first=2
    fi
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_tenpak_commands | cut -d ' ' -f 1 | sort -u)" -- "$current")
        return
    fi
    if [ "$COMP_CWORD" -eq "$first" ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_tenpak_commands | sed -n "s/^${COMP_WORDS[1]} //p")" -- "$current")
        return
    fi
    # "--base=x" comes as three words.
    if [ "$current" = = ]; then
        current=
    elif [ "$previous" = = ]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    argument=$(_tenpak_options "$command" | awk -F '\t' -v word="$previous" '$1 == word || $2 == word { print $5 ? "=" $5 : $3 }')
    case $argument in
    =*) mapfile -t COMPREPLY < <(compgen -W "${argument#=}" -- "$current") ;;
    BASE)
        _tenpak_paths "$current"
        mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W 'auto none' -- "$current")
        ;;
    'OPT,...') _tenpak_mount_options "$current" ;;
    N | ADDRESS:PORT) ;;
    ?*) _tenpak_paths "$current" ;;
    *)
        case $current in
        -*) mapfile -t COMPREPLY < <(compgen -W "$(_tenpak_options "$command" | cut -f 1,2 | tr '\t' '\n')" -- "$current") ;;
        *)
            if [ "$COMP_CWORD" -gt 2 ] && _tenpak_is_job "$command"; then
                compopt -o nospace 2>/dev/null
                mapfile -t COMPREPLY < <(compgen -W "$(_tenpak_keys "$command")" -- "$current"; compgen -d -- "$current")
            elif [ "$command" = help ]; then
                mapfile -t COMPREPLY < <(compgen -W "$(_tenpak_commands | tr ' ' '\n' | sort -u) exit-codes" -- "$current")
            else
                _tenpak_paths "$current"
            fi
            ;;
        esac
        ;;
    esac
}

complete -F _tenpak tenpak
