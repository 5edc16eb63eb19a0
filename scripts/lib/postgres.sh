# The private PostgreSQL 15: a cluster in D/pg, its socket beside its data, open to its owner only. It refuses to run as
# root, so root runs it as the user postgres.

POSTGRES_BIN=/usr/lib/postgresql/15/bin
POSTGRES_SOCKET=.s.PGSQL.5432

as_postgres() {
    if [ "$(id -u)" = 0 ]; then
        runuser -u postgres -- "$@"
    else
        "$@"
    fi
}

# Sets postgres_home. Where the user postgres cannot reach D (below /root), the cluster stands in /var/lib and D/pg.path
# tells where.
postgres_locate() {
    postgres_home=$opt_dir/pg
    if [ -f "$opt_dir/pg.path" ]; then
        postgres_home=$(cat "$opt_dir/pg.path")
    elif [ -z "$opt_stop$opt_database_url" ] && ! as_postgres test -x "$opt_dir"; then
        postgres_home=/var/lib/perfd-$DIR_HASH
        postgres_stop # of a D that was removed
        rm -rf "$postgres_home"
        printf '%s\n' "$postgres_home" >"$opt_dir/pg.path"
        echo "the user postgres cannot enter $opt_dir: the cluster stands in $postgres_home"
    fi
}

postgres_url() {
    echo "postgresql:///perfd?host=$(url_encode "$(postgres_socket_dir)")&user=perfd"
}

postgres_socket_dir() {
    socket_dir "$postgres_home" ${#POSTGRES_SOCKET} as_postgres
}

# psql_as ROLE DATABASE ARGS...: what the environment says of other servers does not matter here.
psql_as() (
    role=$1 database=$2
    shift 2
    dir=$(postgres_socket_dir)
    unset "${!PG@}"
    exec "$POSTGRES_BIN/psql" -h "$dir" -U "$role" -d "$database" -X -q -v ON_ERROR_STOP=1 "$@"
)

# A benchmark's instance: durable, with room for every worker's pool, twice while a reload replaces the workers.
# wal_level minimal lets the load of the data skip the log.
postgres_settings() {
    local cpus connections
    cpus=$(nproc)
    connections=$((4 * cpus * cpus + 20))
    [ $connections -ge 100 ] || connections=100
    [ $connections -le 1000 ] || connections=1000
    local dir
    dir=$(postgres_socket_dir)
    cat <<SETTINGS
# Written by scripts/run at every start.
listen_addresses = ''
unix_socket_directories = '${dir//\'/\'\'}'
unix_socket_permissions = 0700
max_connections = $connections
shared_buffers = 256MB
maintenance_work_mem = 256MB
max_wal_size = 4GB
wal_level = minimal
max_wal_senders = 0
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
SETTINGS
}

# The cluster takes its name when it is whole, so an interrupted start leaves nothing that looks like one.
postgres_init() {
    local new=$postgres_home.new log=$opt_dir/pg.log
    rm -rf "$new"
    mkdir -m 700 "$new"
    [ "$(id -u)" != 0 ] || chown postgres: "$new"
    (cd / && as_postgres "$POSTGRES_BIN/initdb" -D "$new" -U postgres -A trust -E UTF8 --locale=C.UTF-8) >"$log" 2>&1 ||
        { cat "$log" >&2 && die "initdb failed"; }
    echo "include 'perfd.conf'" | as_postgres tee -a "$new/postgresql.conf" >/dev/null
    mv "$new" "$postgres_home"
}

postgres_pid() {
    head -n 1 "$postgres_home/postmaster.pid" 2>/dev/null || true
}

# pg_ctl leaves its output to the server, so that root opens the log where postgres may not. After a crash the sessions
# of the old server hold its memory until they notice.
postgres_start() {
    local log=$opt_dir/pg.log end=$((SECONDS + 15))
    [ -d "$postgres_home" ] || postgres_init
    ! running "$(postgres_pid)" postgres || return 0
    postgres_settings | as_postgres tee "$postgres_home/perfd.conf" >/dev/null
    until (cd / && exec {lock_fd}>&- && as_postgres "$POSTGRES_BIN/pg_ctl" -D "$postgres_home" -w -t 60 start) >>"$log" 2>&1; do
        [ $SECONDS -lt $end ] || { tail -n 20 "$log" >&2 && die "PostgreSQL does not start; its log is $log"; }
        sleep 0.5
    done
}

# INT is PostgreSQL's fast shutdown.
postgres_stop() {
    local pid
    pid=$(postgres_pid)
    running "$pid" postgres || return 0
    kill -INT "$pid" 2>/dev/null || return 0
    ends "$pid" postgres 60 || { echo "run: PostgreSQL in $postgres_home (pid $pid) does not stop" >&2 && return 1; }
}
