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
bool tags_valid(struct tags *tags, uint64_t born_seq, const uint32_t *slots, int count); /* nothing raised since */

/* Redis could not be told of an invalidation: until its epoch there has been raised, nothing is read from it. */
void tags_owe_redis(struct tags *tags);
uint64_t tags_redis_debt(struct tags *tags);            /* 0: none */
void tags_redis_paid(struct tags *tags, uint64_t debt); /* clears it unless more was owed meanwhile */

/* Changes that others make to the data are heard of by notifications (worker/listener.h). All that were made before
 * this moment (CLOCK_MONOTONIC) have been raised here; 0: nobody ever listened, so there is nothing to miss. */
int64_t tags_heard_us(const struct tags *tags);
const _Atomic int64_t *tags_heard_word(const struct tags *tags); /* itself, for who looks all the time */
void tags_set_heard(struct tags *tags, int64_t until_us);        /* never goes back */
/* The listener hears, or knows that it does not: there is nothing to wait for at the start. */
bool tags_listen_tried(const struct tags *tags);
void tags_set_listen_tried(struct tags *tags);

#endif
