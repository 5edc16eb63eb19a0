/* What several commands say of the same thing, in the same words. */
#ifndef MASTER_CTL_WORDS_H
#define MASTER_CTL_WORDS_H

#include "common/buf.h"
#include "master/ctl/format.h"
#include "shm/events.h"
#include "shm/slow.h"
#include "shm/snapshot.h"

enum { WORDS_LOOP_BYTES = 256 };

const char *words_state(int64_t state);        /* of a worker; "?" of one that this perfctl does not know */
const char *words_memory_level(int64_t level); /* likewise */
const char *words_event(const struct event *event);
struct text words_event_slot(const struct event *event); /* "keeper", "-" of none */
/* A worker's heartbeat is late when it is older. */
#define WORDS_BEAT_LATE_US INT64_C(3000000)
/* Of the slot's loop: "turns", what holds it up and for how long, or that its process gives no heartbeat, as one that
 * is stopped. Whether it turns. */
bool words_loop(const struct snapshot *s, int slot, char text[static WORDS_LOOP_BYTES]);
/* $1=7 $2=NULL; "-" where they were not kept. */
void words_params(struct buf *text, const struct slow_query *query);

#endif
