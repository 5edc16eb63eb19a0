# Words for processes, sockets and steps that every server needs.

die() {
    echo "run: $*" >&2
    exit 1
}

# step NAME COMMAND...: says what took how long. A failing command ends the run (set -e), so it must speak for itself.
step() {
    local name=$1 start=$EPOCHREALTIME
    shift
    "$@"
    printf '%-12s%s s\n' "$name" "$(seconds_since "$start")"
}

seconds_since() {
    local us=$((${EPOCHREALTIME/[.,]/} - ${1/[.,]/}))
    printf '%d.%d' $((us / 1000000)) $((us / 100000 % 10))
}

# The lock is this shell's alone: what it starts to stay closes $lock_fd.
lock_take() {
    exec {lock_fd}>"$1"
    flock -n "$lock_fd"
}

# running PID PROGRAM: not only alive but that program, because a pid file outlives its process and pids come again.
running() {
    local exe
    [[ $1 =~ ^[1-9][0-9]*$ ]] && exe=$(readlink "/proc/$1/exe" 2>/dev/null) || return 1
    exe=${exe% (deleted)}
    exe=${exe##*/}
    [[ $exe == "$2" || ($exe == redis-check-rdb && $2 == redis-server) ]] && [ "$(process_state "$1")" != Z ]
}

process_state() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    stat=${stat##*) }
    echo "${stat%% *}"
}

# ends PID PROGRAM SECONDS: waits until it is gone.
ends() {
    local tenths=$(($3 * 10))
    while running "$1" "$2"; do
        [ $((tenths--)) -gt 0 ] || return 1
        sleep 0.1
    done
}

port_free() {
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# socket_dir DIR LENGTH COMMAND...: DIR where a socket of that name's length fits into the 107 bytes of a unix address
# (and libpq would not read a comma as a list of hosts), else a short folder that COMMAND's user alone may enter.
socket_dir() {
    local dir=$1 length=$2 short owner bytes
    shift 2
    bytes=$(printf %s "$dir" | wc -c)
    if [ $((bytes + 1 + length)) -le 107 ] && [[ $dir != *,* ]]; then
        echo "$dir"
        return
    fi
    short=/tmp/perfd-$DIR_HASH-${dir##*/}
    "$@" mkdir -m 700 "$short" 2>/dev/null || true
    owner=$("$@" id -u)
    [[ -d $short && ! -L $short && $(stat -c %u:%a "$short") == "$owner:700" ]] || die "$short is not ours"
    echo "$short"
}

# Percent-encodes what does not stand for itself in a URL's path or query.
url_encode() {
    local LC_ALL=C text=$1 i c
    for ((i = 0; i < ${#text}; i++)); do
        c=${text:i:1}
        case $c in
            [a-zA-Z0-9/._~-]) printf %s "$c" ;;
            *) printf '%%%02X' "$(($(printf %d "'$c") & 255))" ;;
        esac
    done
}

thousands() {
    sed -E ':a; s/([0-9])([0-9]{3})($|,)/\1,\2\3/; ta' <<<"$1"
}

# For lines that are meant to be pasted.
shell_word() {
    printf %q "$1"
}
