# What bash completes for perfctl and perfd: the words that their --help has, so that there is no list to keep.

# Those of the command, behind it.
_perfd_options() {
    "$@" --help 2>/dev/null | grep -E '^ +-' | grep -oE -- ' -(-[a-z-]+|[A-Za-z]\b)'
}

_perfd_commands() {
    [ "${1##*/}" != perfctl ] || "$1" --help 2>/dev/null | sed -nE 's/^  ([a-z]+) .*/\1/p'
}

# The command in front of the word that is being completed. What an option takes is none.
_perfd_command() {
    local i
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} == -* || ${COMP_WORDS[i - 1]} == -* ]] || { echo "${COMP_WORDS[i]}"; return; }
    done
}

_perfd_complete() {
    local word=${COMP_WORDS[COMP_CWORD]} program=$1 found command
    command=$(_perfd_command)
    case ${COMP_WORDS[COMP_CWORD - 1]} in
        --dir) found=$(compgen -d -- "$word") ;;
        --conf | -c | --points | --output-file) found=$(compgen -f -- "$word") ;;
        -o | --output) found=$(compgen -W 'table json csv prom' -- "$word") ;;
        --url) found= ;;
        *) found=$(compgen -W "$(_perfd_options "$program" ${command:+"$command"}; [ -n "$command" ] || _perfd_commands "$program")" -- "$word"
            [ "$command" != load ] || compgen -f -- "$word") ;;
    esac
    COMPREPLY=()
    [ -z "$found" ] || mapfile -t COMPREPLY < <(sort -u <<<"$found")
}

complete -F _perfd_complete perfctl perfd
