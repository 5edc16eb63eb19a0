# The example's data: loaded once, into a database that takes the name perfd when it is whole. Its scale is the comment
# on the database, so the two cannot part.

DATA_CHUNK=100000 # rows a statement; the seed's random numbers depend on it

data_scale() {
    psql_as postgres postgres -At -c "SELECT substr(shobj_description(oid, 'pg_database'), 7) FROM pg_database
                                      WHERE datname = 'perfd'"
}

data_load() {
    local scale wanted=${opt_scale:-1} start=$EPOCHREALTIME
    scale=$(data_scale)
    if [ -n "$scale" ]; then
        [ "${opt_scale:-$scale}" = "$scale" ] ||
            die "--scale $opt_scale: the data in $opt_dir has scale $scale; remove that folder or use another --dir"
        return
    fi
    echo "loading $(thousands $((wanted * 10000))) users and $(thousands $((wanted * 100000))) posts"
    psql_as postgres postgres <<SQL
SET client_min_messages = warning;
SELECT 'CREATE ROLE perfd LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'perfd') \gexec
DROP DATABASE IF EXISTS perfd_new WITH (FORCE);
CREATE DATABASE perfd_new OWNER perfd;
COMMENT ON DATABASE perfd_new IS 'scale $wanted';
SQL
    (cd "$ROOT/sql/example" && data_script "$wanted" | psql_as perfd perfd_new -f -)
    psql_as postgres postgres -c 'ALTER DATABASE perfd_new RENAME TO perfd'
    printf '%-12s%s s\n' data "$(seconds_since "$start")"
}

# One session, because the words live in it, and one transaction, because rows of a table that is new in it skip the log.
data_script() {
    local scale=$1
    printf '%s\n' '\o /dev/null' 'BEGIN;' '\i schema.sql' '\i seed_words.sql'
    printf '%s\n' "\\set users $((scale * 10000))" "\\set posts $((scale * 100000))"
    data_chunks users $((scale * 10000))
    data_chunks posts $((scale * 100000))
    printf '%s\n' "\\echo '  indexes'" '\i indexes.sql' '\i ../invalidate.sql' '\i watch.sql'
    printf "SELECT setval(pg_get_serial_sequence('%s', 'id'), max(id)) FROM %s;\n" users users posts posts
    printf '%s\n' 'COMMIT;' 'VACUUM (FREEZE, ANALYZE) users, posts;'
}

data_chunks() {
    local table=$1 rows=$2 from to
    for ((from = 1; from <= rows; from += DATA_CHUNK)); do
        to=$((from + DATA_CHUNK - 1))
        [ $to -le "$rows" ] || to=$rows
        printf '%s\n' "\\set from $from" "\\set to $to" "\\i seed_$table.sql"
        printf '%s\n' "\\echo '  $table $(thousands $to) of $(thousands "$rows")'"
    done
}
