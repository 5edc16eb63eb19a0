# perfd itself: started in a session of its own, told to end by its pid.

PERFD_BIN=$ROOT/build/release/perfd

perfd_running() {
    running "$(cat "$PERFD_PID_FILE" 2>/dev/null || true)" perfd
}

# Detached it speaks to D/perfd.log, else to the terminal. A shell lets what it starts in the background ignore INT and
# QUIT, which perfd must hear.
perfd_start() {
    mkdir -p "$opt_dir/perfd"
    export PERFD_DATABASE_URL=$opt_database_url PERFD_REDIS_URL=$opt_redis_url
    export PERFD_PORT=$opt_port PERFD_ADMIN_PORT=$opt_admin_port PERFD_RUN_DIR=$opt_dir/perfd
    local out=/dev/stderr
    [ -z "$opt_detach" ] || { out=$PERFD_LOG && : >"$out"; }
    setsid env --default-signal=INT,QUIT "$PERFD_BIN" -c "$opt_conf" </dev/null >>"$out" 2>&1 {lock_fd}>&- &
    perfd_pid=$!
    echo "$perfd_pid" >"$PERFD_PID_FILE"
}

perfd_wait_ready() {
    local start=$EPOCHREALTIME end=$((SECONDS + 30)) code=0
    until curl -fs -o /dev/null --max-time 2 --noproxy '*' "http://127.0.0.1:$opt_admin_port/readyz"; do
        if ! kill -0 "$perfd_pid" 2>/dev/null; then
            wait "$perfd_pid" || code=$?
            [ -z "$opt_detach" ] || cat "$PERFD_LOG" >&2
            die "perfd ended with status $code"
        fi
        if [ $SECONDS -ge $end ]; then
            [ -z "$opt_detach" ] || tail -n 20 "$PERFD_LOG" >&2
            die "http://127.0.0.1:$opt_admin_port/readyz is not 200 after 30 s"
        fi
        sleep 0.1
    done
    printf '%-12s%s s\n' perfd "$(seconds_since "$start")"
}

perfd_announce() {
    local api=http://127.0.0.1:$opt_port stop="scripts/run --dir $opt_dir --stop"
    [ -n "$opt_detach" ] || stop=Ctrl-C
    cat <<WORDS

serving      $api with ${opt_conf/#$ROOT\//}
health       http://127.0.0.1:$opt_admin_port/readyz
statistics   ${PERFD_BIN%perfd}perfctl --dir $opt_dir/perfd stats
stop         $stop
WORDS
    [ "$opt_conf" = "$ROOT/perfd.conf" ] || return 0
    cat <<WORDS
try
  curl '$api/api/users?limit=3'
  curl -i $api/api/users/1
  curl -i -X PATCH -d '{"name": "Ada Lovelace"}' $api/api/users/1
WORDS
}

# perfd_stop SIGNAL: QUIT lets requests finish, TERM ends at once.
perfd_stop() {
    local pid
    perfd_running || return 0
    pid=$(cat "$PERFD_PID_FILE")
    kill "-$1" "$pid"
    ends "$pid" perfd 40 || kill -KILL "$pid"
}
