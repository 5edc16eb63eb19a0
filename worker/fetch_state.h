/* A fetch as the files that it is made of see it, and nobody else:
 *
 *   fetch.c         what the cache has, and who fetches what it has not
 *   fetch_source.c  from the database or Redis
 *   fetch_upstream.c  from an upstream
 *   fetch_end.c     the answer to whoever waits for it */
#ifndef WORKER_FETCH_STATE_H
#define WORKER_FETCH_STATE_H

#include "worker/combine.h"
#include "worker/fan.h"
#include "worker/lookup.h"
#include "worker/park.h"
#include "worker/permit.h"
#include "worker/redis.h"
#include "worker/stream.h"
#include "worker/upstream_call.h"

struct fetch {
    struct request *r;
    struct lookup lookup;
    uint64_t born_seq; /* tags_now() before this fetch began */
    int64_t began_us;
    struct flight_ticket ticket;
    int joins;
    bool keeps_out;         /* of the cache: the last answer was too large for it */
    bool untagged;          /* not to be kept: of what it is made is not known */
    bool refreshes;         /* nobody waits for it: the consumer has its answer */
    int64_t known_until_us; /* of the value that it refreshes */
    struct parked parked;
    struct permit_waiter permit_waiter;
    struct redis_versions versions;
    struct pool *pool; /* that it reads from */
    struct pool_job *job;
    struct upstream_job *upstream_job;
    struct upstream_conditions conditions; /* that it was asked with */
    bool asks_plainly;                     /* without them */
    struct stream stream;                  /* of rows */
    struct combined combined;              /* in place of job, where the route combines its lookups */
    struct fan *fan;
};

double fetch_uniform(void); /* in (0, 1] */

/* ---- fetch_source.c ---- */

/* Its value, which is stored where it may be, ends the flight and is the answer. */
void fetch_from_source(struct fetch *f);
void fetch_from_origin(struct fetch *f); /* of a route that is not cached, or when Redis has none */
/* The entry is stored, and ends the flight. */
void fetch_keep(struct fetch *f, const struct cache_entry *entry, int64_t now_us);

/* ---- fetch_upstream.c ---- */

void fetch_from_upstream(struct fetch *f);

/* ---- fetch_end.c ---- */

/* r->problem tells that this request's own time was over, be it the rest of a batch's. What the source would have said
 * is not known: who waits for the flight is told FETCH_RAN_OUT in place of a status, and asks anew. */
enum { FETCH_RAN_OUT = 0 };
bool fetch_ran_out(const struct fetch *f);
/* Of an owner; once. */
void fetch_finish_flight(struct fetch *f, enum flight_end end, int status);
/* The request by an entry, or nobody where it refreshes. */
void fetch_answer(struct fetch *f, enum source source, struct cache_entry *entry, bool lent, int64_t now_us);
/* True: answered by a value whose time is over, since the source has failed. */
bool fetch_answer_spare(struct fetch *f);
/* r->problem says why. */
void fetch_answer_failure(struct fetch *f, enum source source);
void fetch_fail(struct fetch *f, enum source source, int status, const char *code, const char *detail);
/* True: answered. least_born_seq: what a waiter may take from the flight that it waited for. */
bool fetch_answer_cached(struct fetch *f, enum source source, uint64_t least_born_seq);

#endif
