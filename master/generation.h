/* A configuration in force: each successful reload makes one. */
#ifndef MASTER_GENERATION_H
#define MASTER_GENERATION_H

#include "common/conf.h"
#include "worker/tls_files.h"

struct cache;
struct shared;

struct generation {
    int number;      /* from 1 */
    int64_t read_us; /* when its files were; wall clock */
    struct conf *conf;
    struct tls_files *tls_files;
    struct cache *cache; /* of the shared memory; stage.h makes another one for another size */
    int log_fd;          /* of its error log while the master writes another one; else -1 */
    int *route_rows;     /* of the statistics, by route */
    int *permit_rows;    /* the same of the permits; PERMIT_NO_ROW: its own number of statements is not limited */
};

/* Takes conf over, and reads the certificates that it names. NULL: it cannot, and conf is the caller's still. */
struct generation *generation_create(int number, struct conf *conf, struct shared *shared, struct err *err) MUST_USE;
/* Its numbers of statements are the limits from now on, of older generations too, and its objectives and versions
 * of routes stand in the statistics. */
void generation_limit(const struct generation *generation, struct shared *shared);
void generation_destroy(struct generation **generation);

/* False: what changed is fixed when perfd starts (shared memory, folders); err names the directives. */
bool generation_can_follow(const struct conf *now, const struct conf *next, struct err *err) MUST_USE;

#endif
