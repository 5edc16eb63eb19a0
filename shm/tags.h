/* What an invalidation reaches. tag_seq[1M]: a tag hashes to a slot, a collision only drops too much. */
#ifndef SHM_TAGS_H
#define SHM_TAGS_H

#include "common/err.h"
#include "common/slice.h"

struct tags;

size_t tags_bytes(void); /* of the control segment: 8 MB */

uint32_t tags_slot(struct slice tag);                                 /* 0 .. 2^20-1 */
uint64_t tags_now(struct tags *tags);                                 /* born_seq: read it before the fetch begins */
void tags_raise(struct tags *tags, const uint32_t *slots, int count); /* invalidate; atomic maximum, no lock */
void tags_raise_epoch(struct tags *tags);                             /* everything */
/* Until tags_resume() nothing is valid, whatever is stored meanwhile: for as long as others may write to the data who
 * raise nothing here. tags_resume() is an epoch; nothing else ends it. */
void tags_suspend(struct tags *tags);
void tags_resume(struct tags *tags);
bool tags_suspended(const struct tags *tags);
bool tags_valid(struct tags *tags, uint64_t born_seq, const uint32_t *slots, int count); /* nothing raised since */

/* A write may commit until this moment (CLOCK_MONOTONIC) of which nobody will tell: then everything is dropped
 * (shared_settle()). Kept here for the master that comes after this one. */
void tags_set_doubt(struct tags *tags, int64_t until_us);          /* never goes back */
int64_t tags_doubt_us(const struct tags *tags);                    /* 0: none */
bool tags_end_doubt(struct tags *tags, int64_t until_us) MUST_USE; /* false: it is another's, or was ended */

/* Which Redis: a hash of its address and prefix, 0: none. What is owed is owed to that one. */
void tags_set_redis(struct tags *tags, uint64_t name);
uint64_t tags_redis(const struct tags *tags);
/* Redis could not be told of an invalidation: until its epoch there has been raised, nothing is read from it. That
 * holds for one run of one server: another one, a replica that was promoted or a server that came back with an old
 * file, may know less, so it is owed all over again. server: redis_link_server(), never 0. */
void tags_owe_redis(struct tags *tags);
uint32_t tags_redis_debt(const struct tags *tags);               /* all that was ever owed; 0: nothing */
bool tags_redis_clean(const struct tags *tags, uint32_t server); /* nothing is owed to it */
uint32_t tags_redis_server(const struct tags *tags);             /* that was paid last; 0: none */
bool tags_redis_is_paid(const struct tags *tags);                /* it is clean */
uint64_t tags_redis_receipt(const struct tags *tags);            /* of the last payment */
/* The server's epoch was raised after receipt and debt had been read. Who else paid meanwhile may have paid another
 * server, and told that one alone of invalidations: then this payment counts for nothing. */
void tags_redis_paid(struct tags *tags, uint64_t receipt, uint32_t server, uint32_t debt);

/* Changes that others make to the data are heard of by notifications (worker/listener.h). All that were made before
 * this moment (CLOCK_MONOTONIC) have been raised here; 0: nobody ever listened, so there is nothing to miss. */
int64_t tags_heard_us(const struct tags *tags);
const _Atomic int64_t *tags_heard_word(const struct tags *tags); /* itself, for who looks all the time */
void tags_set_heard(struct tags *tags, int64_t until_us);        /* never goes back */
/* By what: kept over a keeper's death, for the next one to know what it may have missed. */
enum tags_source { TAGS_DATABASE = 1, TAGS_REDIS = 2 };
void tags_rely(struct tags *tags, enum tags_source source);
bool tags_relied(const struct tags *tags, enum tags_source source);
/* Of this perfd: what it says to others is marked by it. */
uint64_t tags_sender(struct tags *tags);
/* The listener hears, or knows that it does not: there is nothing to wait for at the start. */
bool tags_listen_tried(const struct tags *tags);
void tags_set_listen_tried(struct tags *tags);

#endif
