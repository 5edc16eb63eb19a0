# The command line of scripts/run: sets opt_*; anything wrong ends with 2 and names the option.

usage() {
    cat <<'USAGE'
usage: scripts/run [options]
Installs the packages that are missing (root or sudo), builds, starts a private PostgreSQL 15 and Redis on unix sockets,
loads the example's data once, and serves perfd.conf until Ctrl-C.

  --dir D             everything of this instance stands here (./run)
  --port N            of the API, on 127.0.0.1 (8080)
  --admin-port N      of /healthz and /readyz (8081)
  --scale N           N x 10,000 users and N x 100,000 posts (1); counts when the data is loaded, at the first start
  --conf FILE         instead of the repository's perfd.conf; it reads what is set here from the environment:
                      PERFD_PORT PERFD_ADMIN_PORT PERFD_RUN_DIR PERFD_DATABASE_URL PERFD_REDIS_URL
  --database-url U    use this PostgreSQL; nothing is loaded into it and nothing in it is changed
  --redis-url U       use this Redis
  --detach            return as soon as perfd is ready; status 1 when it is not within 30 s
  --stop              end what runs in --dir, perfd first; its data stays
  --help              this text

A second start keeps the data. To begin anew: scripts/run --stop, then remove D.
USAGE
}

bad_option() {
    echo "run: $1; scripts/run --help lists the options" >&2
    exit 2
}

options_integer() {
    local name=$1 value=$2 max=$3
    [[ $value =~ ^[1-9][0-9]{0,6}$ ]] && [ "$value" -le "$max" ] || bad_option "$name '$value': not a number from 1 to $max"
}

options_parse() {
    opt_dir=run opt_port=8080 opt_admin_port=8081 opt_scale='' opt_conf=$ROOT/perfd.conf
    opt_database_url='' opt_redis_url='' opt_detach='' opt_stop=''
    local name value
    while [ $# -gt 0 ]; do
        name=${1%%=*}
        case $name in
            --dir | --port | --admin-port | --scale | --conf | --database-url | --redis-url)
                if [[ $1 == *=* ]]; then
                    value=${1#*=}
                else
                    [ $# -gt 1 ] || bad_option "$name needs a value"
                    value=$2
                    shift
                fi
                [ -n "$value" ] || bad_option "$name needs a value"
                name=${name#--}
                printf -v "opt_${name//-/_}" %s "$value"
                ;;
            *)
                case $1 in
                    --detach) opt_detach=1 ;;
                    --stop) opt_stop=1 ;;
                    -h | --help) usage; exit 0 ;;
                    *) bad_option "unknown option '$1'" ;;
                esac
                ;;
        esac
        shift
    done
    options_check
}

options_check() {
    options_integer --port "$opt_port" 65535
    options_integer --admin-port "$opt_admin_port" 65535
    [ "$opt_port" != "$opt_admin_port" ] || bad_option "--port and --admin-port are both $opt_port"
    [ -z "$opt_scale" ] || options_integer --scale "$opt_scale" 1000
    [ -z "$opt_scale" ] || [ -z "$opt_database_url" ] || bad_option "--scale does not go with --database-url: nothing is loaded"
    [[ -f $opt_conf && -r $opt_conf ]] || bad_option "--conf '$opt_conf': cannot be read"
    [[ -z $opt_database_url || $opt_database_url =~ ^postgres(ql)?:// ]] || bad_option "--database-url: not a postgresql:// URL"
    [[ -z $opt_redis_url || $opt_redis_url =~ ^(redis|unix):// ]] || bad_option "--redis-url: not a redis:// or unix:// URL"
    [[ ! -e $opt_dir || -d $opt_dir ]] || bad_option "--dir '$opt_dir': not a directory"
    opt_conf=$(realpath "$opt_conf")
    opt_dir=$(realpath -m "$opt_dir")
    # pg_ctl hands the folder to a shell between double quotes.
    [[ ! $opt_dir =~ [[:cntrl:]\"\$\`\\] ]] || bad_option "--dir '$opt_dir': cannot have a control character or one of \" \$ \` \\"
    DIR_HASH=$(printf %s "$opt_dir" | sha256sum | cut -c1-10)
    # shellcheck disable=SC2034 # perfd.sh and run
    PERFD_PID_FILE=$opt_dir/perfd.pid PERFD_LOG=$opt_dir/perfd.log
}
