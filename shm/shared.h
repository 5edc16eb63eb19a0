/* All memory that outlives a worker, made by the master before the first fork and inherited: the cache's data, the
 * control segment (tags, flights, board) and the statistics file. */
#ifndef SHM_SHARED_H
#define SHM_SHARED_H

#include "common/conf.h"
#include "common/err.h"
#include "shm/control.h"

struct cache;
struct stats;

enum { SHARED_CACHES = 4 };

struct shared {
    struct cache *cache; /* of the configuration in force; of a child: the one that it uses */
    /* The master's: that processes of an older configuration, or of one that is not in force yet, use; NULL: none. */
    struct cache *others[SHARED_CACHES];
    struct control control;
    struct tags *tags; /* the control segment's, as are the next seven */
    struct flights *flights;
    struct board *board;
    struct permits *permits;
    struct rates *rates;
    struct owners *owners;
    struct pressure *pressure;
    struct purge *purge;
    struct stats *stats;
    int wake_fd[BOARD_ROWS];          /* eventfd of each process row, non-blocking: "look again at what you parked" */
    int master_fd;                    /* eventfd: a board row changed its state */
    struct permit_debts permit_debts; /* the master's */
    bool cold;                        /* shared_attach() */
};

/* Creates everything for conf; the statistics file is conf->run_dir/perfd.stats. Refuses a cache that MemAvailable or
 * a cgroup limit cannot hold, with both figures. */
bool shared_create(struct shared *shared, const struct conf *conf, struct err *err) MUST_USE;

/* What the master of an older perfd hands to a newer one that is to take its place: descriptors, -1 where there is
 * none. */
struct shared_handed {
    int control_fd, cache_fd, stats_fd;
    int wake_fd[BOARD_ROWS];
};
void shared_hand(const struct shared *shared, struct shared_handed *handed_out);

enum { SHARED_WHY_BYTES = 200 };
/* In place of shared_create(): attaches what fits and creates the rest; what does not fit is told in why_out ("" when
 * all does). The cache and the statistics are good only with the control segment: their tags and their writers' rows
 * are there. redis: tags_redis(). Where control_fd does not fit, shared->cold is set and the cache suspended, as writes
 * of the other perfd's workers raise nothing here; shared_warm() ends it. The statistics have their name after
 * stats_show(). Takes over, or closes, what was handed. */
bool shared_attach(struct shared *shared, const struct conf *conf, const struct shared_handed *handed, uint64_t redis,
                   char why_out[static SHARED_WHY_BYTES], struct err *err) MUST_USE;
/* No answer is taken from a cache, nor from Redis, until shared_warm(): others write who raise no tags here. */
void shared_cool(struct shared *shared);
/* They have ended. What they wrote last may commit until doubt_us: then everything is dropped once more. */
void shared_warm(struct shared *shared, int64_t doubt_us);

/* A reload to another size: a cache of its own for the processes of the new configuration, while those of the old one
 * keep theirs. Both have the same tags, so that what is dropped is dropped in both. NULL: there is no memory for it, or
 * too many of the kind have not ended yet; err says so. */
struct cache *shared_make_cache(struct shared *shared, const struct conf *conf, struct err *err) MUST_USE;
void shared_use_cache(struct shared *shared, struct cache *cache); /* its configuration is in force */
/* In a child: this is its cache. Other ones are not kept by it. */
void shared_enter(struct shared *shared, struct cache *cache);
/* Gives back the others that nobody uses. */
void shared_sweep(struct shared *shared, bool (*is_used)(void *arg, const struct cache *cache), void *arg);

void shared_destroy(struct shared *shared); /* this process's mappings and descriptors */
void shared_forget(struct shared *shared);  /* in a child: closes what only a master hands over */

/* The master, only when the process that had row proc is dead: its flights are orphans, its unfinished writes raise the
 * epoch, its permits are owed, its row is free again, and every worker is woken. Of a process that died inside a write,
 * the database may yet commit that: then tags_set_doubt() for when that cannot be any more, and true. */
bool shared_reap(struct shared *shared, int proc, int64_t now_us);
/* Gives back the permits of the dead whose statements are over by now, and drops everything when a doubt has ended.
 * Returns when the next of that is due; INT64_MAX: nothing. */
int64_t shared_settle(struct shared *shared, int64_t now_us);
/* Drops everything, here and in Redis. */
void shared_doubt(struct shared *shared);

#endif
