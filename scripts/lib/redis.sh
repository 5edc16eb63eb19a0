# The private Redis: a cache that keeps nothing, on a unix socket in D/redis.

redis_socket() {
    echo "$(socket_dir "$opt_dir/redis" 10 env)/redis.sock"
}

redis_url() {
    echo "unix://$(url_encode "$(redis_socket)")?db=0"
}

redis_pid() {
    cat "$opt_dir/redis/redis.pid" 2>/dev/null || true
}

redis_start() {
    local dir=$opt_dir/redis socket log=$opt_dir/redis/redis.log tenths=100
    running "$(redis_pid)" redis-server && return
    mkdir -p -m 700 "$dir"
    socket=$(redis_socket)
    redis-server --port 0 --unixsocket "$socket" --unixsocketperm 700 --daemonize yes --pidfile "$dir/redis.pid" \
        --dir "$dir" --logfile "$log" --save '' --appendonly no --maxmemory 64mb --maxmemory-policy allkeys-lru \
        {lock_fd}>&- >/dev/null || die "Redis does not start; its log is $log"
    until [ "$(redis-cli -s "$socket" ping 2>/dev/null)" = PONG ]; do
        [ $((tenths--)) -gt 0 ] || { tail -n 20 "$log" >&2 && die "Redis does not answer; its log is $log"; }
        sleep 0.1
    done
}

redis_stop() {
    local pid
    pid=$(redis_pid)
    running "$pid" redis-server || return 0
    kill -TERM "$pid" 2>/dev/null || return 0
    ends "$pid" redis-server 10 || kill -KILL "$pid" 2>/dev/null || true
}
