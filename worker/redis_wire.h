/* Redis's protocol on one connected socket, and the only place that knows hiredis: of it the reader of replies. Its
 * asynchronous half ends the process on a reply that nobody waits for, and bounds nothing that a server sends; here a
 * server that says anything else than the protocol allows, more at once than was agreed, or ends, is told once.
 *
 * What is sent in one turn of the loop goes out in one write at its end. */
#ifndef WORKER_REDIS_WIRE_H
#define WORKER_REDIS_WIRE_H

#include "common/base.h"

#include <hiredis/hiredis.h>

struct event_base;
struct redis_wire;

/* From the loop. Both may destroy the wire; after ended() it does nothing any more. */
struct redis_wire_events {
    void (*replied)(void *arg, const redisReply *reply); /* goes after the call */
    void (*ended)(void *arg, const char *why);
};

/* Takes fd over. A reply that is longer than reply_max_bytes ends it. */
struct redis_wire *redis_wire_create(struct event_base *base, int fd, size_t reply_max_bytes,
                                     const struct redis_wire_events *events, void *arg) MUST_USE;
void redis_wire_destroy(struct redis_wire **wire);
/* lens NULL: words end with their NUL. The words are copied. */
void redis_wire_send(struct redis_wire *wire, int argc, const char *const *argv, const size_t *lens);
bool redis_wire_choked(const struct redis_wire *wire); /* it ended by a reply that was too long */
size_t redis_wire_unsent_bytes(const struct redis_wire *wire);

#endif
