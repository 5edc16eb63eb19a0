# perfd itself: started in a session of its own, told to end by its pid.

PERFD_BIN=$ROOT/build/release/perfd
PERFCTL_BIN=$ROOT/build/release/perfctl

perfd_pid_file() {
    echo "$opt_dir/perfd.pid"
}

# D/perfd, where perfd's control socket fits into it.
perfd_run_dir() {
    socket_dir "$opt_dir/perfd" 12 env
}

perfd_running() {
    running "$(cat "$(perfd_pid_file)" 2>/dev/null || true)" perfd
}

# Detached it speaks to D/perfd.log, else to the terminal. A shell lets what it starts in the background ignore INT and
# QUIT, which perfd must hear.
perfd_start() {
    mkdir -p "$opt_dir/perfd"
    export PERFD_DATABASE_URL=$opt_database_url PERFD_REDIS_URL=$opt_redis_url
    export PERFD_PORT=$opt_port PERFD_ADMIN_PORT=$opt_admin_port PERFD_RUN_DIR
    PERFD_RUN_DIR=$(perfd_run_dir)
    (
        exec {lock_fd}>&- </dev/null
        [ -z "$opt_detach" ] || exec >"$opt_dir/perfd.log" 2>&1
        exec setsid env --default-signal=INT,QUIT "$PERFD_BIN" -c "$opt_conf"
    ) &
    perfd_pid=$!
    echo "$perfd_pid" >"$(perfd_pid_file)"
}

perfd_wait_ready() {
    local start=$EPOCHREALTIME end=$((SECONDS + 30))
    until curl -fs -o /dev/null --max-time 2 --noproxy '*' "http://127.0.0.1:$opt_admin_port/readyz"; do
        kill -0 "$perfd_pid" 2>/dev/null || perfd_ended
        [ $SECONDS -lt $end ] || perfd_failed "http://127.0.0.1:$opt_admin_port/readyz is not 200 after 30 s"
        sleep 0.05
    done
    printf '%-12s%s s\n' perfd "$(seconds_since "$start")"
}

perfd_ended() {
    local code=0
    wait "$perfd_pid" || code=$?
    perfd_failed "perfd ended with status $code"
}

perfd_failed() {
    [ -z "$opt_detach" ] || tail -n 20 "$opt_dir/perfd.log" >&2
    die "$1"
}

# What to try: the example's routes where its configuration is served, else what every configuration has.
perfd_announce() {
    local api=http://127.0.0.1:$opt_port health=http://127.0.0.1:$opt_admin_port/readyz dir run_dir=$PERFD_RUN_DIR stop=Ctrl-C
    dir=$(shell_word "${opt_dir/#"$PWD"\//}")
    run_dir=$(shell_word "${run_dir/#"$PWD"\//}")
    [ -z "$opt_detach" ] || stop="scripts/run --dir $dir --stop"
    printf '\nAPI     %s\nhealth  %s\nlogs    %s\nstop    %s\n\nTry\n' "$api" "$health" "$run_dir/access.log" "$stop"
    if [ "$opt_conf" = "$ROOT/perfd.conf" ]; then
        cat <<TEXT
  curl -i $api/api/users/1
  curl '$api/api/users-with-posts?limit=3'
  curl -X POST $api/api/users -H 'Content-Type: application/json' -d '{"email": "ada@example.org", "name": "Ada"}'
TEXT
    else
        echo "  curl -i $health"
    fi
    echo "  $(shell_word "${PERFCTL_BIN/#"$PWD"\//}") --dir $run_dir stats"
}

# perfd_stop SIGNAL: QUIT lets requests finish, TERM ends at once.
perfd_stop() {
    local pid
    perfd_running || return 0
    pid=$(cat "$(perfd_pid_file)")
    kill "-$1" "$pid" 2>/dev/null || return 0
    ends "$pid" perfd 40 || kill -KILL "$pid" 2>/dev/null || true
}
