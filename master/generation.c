#include "master/generation.h"
#include "common/clock.h"
#include "common/log.h"
#include "shm/memory_limits.h"
#include "shm/shared.h"
#include "shm/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int permit_row(struct shared *shared, const struct conf_route *route)
{
    int row = route->max_concurrent > 0 ? permits_row(shared->permits, route->name) : PERMIT_NO_ROW;
    if (route->max_concurrent > 0 && row == PERMIT_NO_ROW)
        log_error("%s: max_concurrent is not kept: too many routes have had one; a restart mends it", route->name);
    return row;
}

struct generation *generation_create(int number, struct conf *conf, struct shared *shared, struct err *err)
{
    struct tls_files *tls_files = tls_files_read(conf, err);
    if (tls_files == NULL)
        return NULL;
    struct generation *g = xcalloc(1, sizeof *g);
    g->tls_files = tls_files;
    g->number = number;
    g->log_fd = -1;
    g->read_us = clock_wall_us();
    g->conf = conf;
    g->cache = shared->cache;
    memory_limits_fill(conf);
    g->route_rows = xcalloc((size_t)MAX(conf->route_count, 1), sizeof *g->route_rows);
    g->permit_rows = xcalloc((size_t)MAX(conf->route_count, 1), sizeof *g->permit_rows);
    for (int i = 0; i < conf->route_count; i++) {
        g->route_rows[i] = stats_route_row(shared->stats, conf->routes[i].name);
        g->permit_rows[i] = permit_row(shared, &conf->routes[i]);
    }
    return g;
}

/* Beside what the keeper counts, so that it stands in the file once. */
static void tell_objectives(const struct generation *g, struct stats *stats)
{
    for (int row = 0; row < stats_routes(stats); row++)
        stats_route_set(stats, STATS_KEEPER, row, ROUTE_STAT_objective_us, 0);
    for (int i = 0; i < g->conf->route_count; i++)
        if (g->route_rows[i] > 0)
            stats_route_set(stats, STATS_KEEPER, g->route_rows[i], ROUTE_STAT_objective_us,
                            g->conf->routes[i].objective_us);
}

static void tell_versions(const struct generation *g, struct stats *stats)
{
    for (int row = 0; row < stats_routes(stats); row++)
        stats_set_route_version(stats, row, 0);
    for (int i = 0; i < g->conf->route_count; i++)
        stats_set_route_version(stats, g->route_rows[i], g->conf->routes[i].version);
}

void generation_limit(const struct generation *g, struct shared *shared)
{
    const struct conf *conf = g->conf;
    int count = conf->route_count + 1;
    int *rows = xcalloc(2 * (size_t)count, sizeof *rows), *maxes = rows + count;
    for (int i = 0; i < conf->route_count; i++) {
        rows[i] = g->permit_rows[i];
        maxes[i] = conf->routes[i].max_concurrent;
    }
    rows[count - 1] = PERMIT_ALL;
    maxes[count - 1] = conf->max_concurrent;
    permits_limit(shared->permits, rows, maxes, count);
    free(rows);
    tell_objectives(g, shared->stats);
    tell_versions(g, shared->stats);
}

void generation_destroy(struct generation **g)
{
    if (*g == NULL)
        return;
    conf_destroy(&(*g)->conf);
    tls_files_destroy(&(*g)->tls_files);
    if ((*g)->log_fd > STDERR_FILENO)
        close((*g)->log_fd);
    free((*g)->route_rows);
    free((*g)->permit_rows);
    free(*g);
    *g = NULL;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool generation_can_follow(const struct conf *now, const struct conf *next, struct err *err)
{
    const struct {
        const char *name;
        bool same;
    } fixed[] = {
        {"user", same_text(now->user, next->user)},
        {"group", same_text(now->group, next->group)},
        {"run_dir", strcmp(now->run_dir, next->run_dir) == 0},
        /* Two Redis at a time: what one worker drops from the one, another would find in the other. */
        {"redis url", now->redis.set == next->redis.set && same_text(now->redis.url, next->redis.url)},
        {"redis prefix", same_text(now->redis.prefix, next->redis.prefix)},
    };
    char names[256] = "";
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        if (!fixed[i].same)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", names[0] ? ", " : "", fixed[i].name);
    return names[0] == '\0' ||
           err_set(err, "%s: a change of %s needs a restart; nothing was changed", next->file, names);
}
