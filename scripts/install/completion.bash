# What bash completes for perfctl and perfd: the words that their --help has, so that there is no list to keep.

# The command in front of the word that is being completed. What an option takes is none.
_perfd_command() {
    local i
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} == -* || ${COMP_WORDS[i - 1]} == -* ]] || { echo "${COMP_WORDS[i]}"; return; }
    done
}

# The following read $help, what the program or its command says of itself.

# What the option takes, in capitals; nothing where it takes nothing.
_perfd_value() {
    local option=$1
    case $option in -o) option=--output ;; -q) option=--query ;; esac
    sed -nE "s/^ +$option ([A-Z]+)  *.*/\1/p" <<<"$help" | head -n 1
}

_perfd_options() {
    grep -E '^ +-' <<<"$help" | grep -oE -- ' -(-[a-z-]+|[A-Za-z]\b)'
}

# Of the program's own help.
_perfd_commands() {
    sed -nE 's/^  ([a-z]+) .*/\1/p' <<<"$help"
}

# What stands behind the command: words that stand for themselves, and in capitals what is any.
_perfd_arguments() {
    sed -nE '1s/^usage: \S+ \S+ \[options\] ?//p' <<<"$help" | tr ' |[].' '\n' | grep .
}

# The words of $1 that begin with the one that is being completed, and files where they have FILE or SCENARIO.
_perfd_found() {
    compgen -W "$(grep -v '^[A-Z]' <<<"$1")" -- "$word"
    ! grep -qxE 'FILE|SCENARIO' <<<"$1" || compgen -f -- "$word"
}

_perfd_complete() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} value= found= command help
    command=$(_perfd_command)
    help=$("$1" ${command:+"$command"} --help 2>/dev/null)
    [[ $before != -* ]] || value=$(_perfd_value "$before")
    case $value in
        '') if [ -n "$command" ]; then found=$(_perfd_arguments); elif [ "${1##*/}" = perfctl ]; then found=$(_perfd_commands); fi
            found=$(_perfd_found "$found"$'\n'"$(_perfd_options)") ;;
        D) found=$(compgen -d -- "$word") ;;
        FILE) found=$(compgen -f -- "$word") ;;
        FORMAT) found=$(compgen -W 'table json csv prom' -- "$word") ;;
        *) found= ;;
    esac
    COMPREPLY=()
    [ -z "$found" ] || mapfile -t COMPREPLY < <(sort -u <<<"$found")
}

complete -F _perfd_complete perfctl perfd
