/* The replicas that replica_url names, each with a pool of its own, and which of them may be read from now: those that
 * answer and are not more than max_lag behind. */
#ifndef SQL_REPLICAS_H
#define SQL_REPLICAS_H

#include "shm/tags.h"
#include "sql/pool.h"

struct replicas;

struct replicas_metrics {
    int count, usable;
    int max;        /* connections that they may have */
    int64_t lag_us; /* of the one that is furthest behind, of those that answer */
    struct pool_metrics pools;
};

/* conf names replicas; it, the primary's pool and tags must outlive them. observe is as pool_create()'s. */
struct replicas *replicas_create(struct event_base *base, const struct conf *conf, struct pool *primary,
                                 struct tags *tags, pool_observe *observe, void *observe_arg) MUST_USE;
/* The least busy one that has all that the tags' invalidations are about; NULL: read from the primary. */
struct pool *replicas_choose(struct replicas *replicas, const uint32_t *tag_slots, int tag_count);
/* The read did not fail for its own sake: the primary may do better. A replica that is down is not chosen again until
 * it has answered. */
bool replicas_failed(struct replicas *replicas, const struct pool *pool, const struct pool_outcome *outcome);
void replicas_metrics(const struct replicas *replicas, struct replicas_metrics *out);
void replicas_drain(struct replicas *replicas);

#endif
