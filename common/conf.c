#include "common/conf_parse.h"

#include <sched.h>
#include <unistd.h>

enum { POOL_MAX = 1000 }; /* the bounds of conf.def */

/* CPUs that this process may run on. */
static int count_cpus(void)
{
    cpu_set_t set;
    long online = sysconf(_SC_NPROCESSORS_ONLN); /* for machines with more CPUs than a cpu_set_t has bits */
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)online;
    return MAX(count, 1);
}

static bool is_same_port(const struct conf_listen *a, const struct conf_listen *b)
{
    return a->path == NULL && b->path == NULL && strcmp(a->port, b->port) == 0;
}

/* One that is meant for consumers must not be the admins' on another address by mistake. */
static bool check_ports(struct conf_parser *p, const struct conf_listens *listen)
{
    const struct conf_listens *admin = &p->conf->admin;
    for (int i = 0; i < listen->count; i++)
        for (int j = 0; j < admin->count; j++)
            if (is_same_port(&listen->at[i], &admin->at[j])) {
                bool written = admin->at[j].pos.line > 0;
                return conf_error(p->err, written ? admin->at[j].pos : listen->at[i].pos,
                                  "listen and admin%s need different ports; both have %s",
                                  written ? "" : " (127.0.0.1:8081 where none is given)", admin->at[j].port);
            }
    return true;
}

static bool check_keepalive(struct conf_parser *p)
{
    struct conf *conf = p->conf;
    const struct conf_directive *min = conf_seen(&p->main, "keepalive_min");
    if (conf->keepalive_min_us <= conf->keepalive_timeout_us)
        return true;
    if (min != NULL)
        return conf_error(p->err, min->args[0].pos, "keepalive_min is above keepalive_timeout");
    conf->keepalive_min_us = conf->keepalive_timeout_us;
    return true;
}

static bool finish(struct conf_parser *p)
{
    struct conf *conf = p->conf;
    int cpus = count_cpus();
    if (conf->workers == 0)
        conf->workers = MIN(cpus, WORKERS_MAX);
    conf->database.pool_auto = conf->database.pool_max == 0;
    if (conf->database.pool_auto)
        conf->database.pool_max = MIN(2 * cpus, POOL_MAX);
    if (conf->database.replica_max == 0)
        conf->database.replica_max = MIN(2 * cpus, POOL_MAX);
    conf->database.pool_min = MIN(conf->database.pool_min, conf->database.pool_max);
    conf->database.replica_min = MIN(conf->database.replica_min, conf->database.replica_max);
    return check_ports(p, &conf->listen) && check_ports(p, &conf->tls.listen) && check_keepalive(p) &&
           conf_finish_user(p) && conf_finish_routes(p);
}

struct conf *conf_load(const char *path, struct err *err)
{
    struct arena *arena = arena_create();
    struct conf *conf = arena_alloc(arena, sizeof *conf);
    struct conf_parser p = {.conf = conf, .arena = arena, .err = err};
    p.main = (struct conf_block){.context = CONF_IN_MAIN, .target = conf};
    conf->arena = arena;
    conf->file = arena_str(arena, slice_str(path));
    static const enum conf_context contexts[] = {CONF_IN_MAIN,         CONF_IN_DATABASE, CONF_IN_POOL,
                                                 CONF_IN_REPLICA_POOL, CONF_IN_REDIS,    CONF_IN_TLS,
                                                 CONF_IN_CORS,         CONF_IN_CACHE,    CONF_IN_MEMORY};
    for (size_t i = 0; i < ARRAY_LEN(contexts); i++)
        conf_apply_defaults(&p, contexts[i], conf);
    if (!conf_parse_file(&p, conf->file, (struct conf_pos){NULL, 0, 0}) || !finish(&p))
        conf_destroy(&conf);
    return conf;
}

void conf_destroy(struct conf **conf)
{
    if (*conf == NULL)
        return;
    struct arena *arena = (*conf)->arena; /* holds *conf too */
    *conf = NULL;
    arena_destroy(&arena);
}
