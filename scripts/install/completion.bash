# What bash completes for perfctl and perfd: the words that their --help has, so that there is no list to keep.

_perfd_options() {
    "$1" --help 2>/dev/null | grep -E '^ +-' | grep -oE -- ' -(-[a-z-]+|[A-Za-z]\b)'
}

_perfd_commands() {
    [ "${1##*/}" != perfctl ] || "$1" --help 2>/dev/null | sed -nE 's/^  ([a-z]+) .*/\1/p'
}

# Whether a command stands in front of the word that is being completed.
_perfd_has_command() {
    local i
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} == -* || ${COMP_WORDS[i - 1]} =~ ^(--dir|--conf|--url|-o|-c)$ ]] || return 0
    done
    return 1
}

_perfd_complete() {
    local word=${COMP_WORDS[COMP_CWORD]} program=$1 found
    case ${COMP_WORDS[COMP_CWORD - 1]} in
        --dir) found=$(compgen -d -- "$word") ;;
        --conf | -c) found=$(compgen -f -- "$word") ;;
        -o) found=$(compgen -W 'table json' -- "$word") ;;
        --url) found= ;;
        *) found=$(compgen -W "$(_perfd_options "$program"; _perfd_has_command || _perfd_commands "$program")" -- "$word") ;;
    esac
    COMPREPLY=()
    [ -z "$found" ] || mapfile -t COMPREPLY < <(sort -u <<<"$found")
}

complete -F _perfd_complete perfctl perfd
