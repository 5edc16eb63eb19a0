/* What perfctl purge asks for, one after the other: the keeper does it (shm/purge.h). Where it does not in time,
 * everything is dropped, here and in Redis, which it needs not be asked for: whoever is told that it is done can rely
 * on that. */
#ifndef MASTER_PURGES_H
#define MASTER_PURGES_H

#include "common/conf.h"
#include "master/control_socket.h"
#include "shm/purge.h"

struct shared;

struct purges {
    int count; /* of those that are not done; the first is under way */
    struct {
        uint64_t ticket; /* of who waits for it */
        enum purge_kind kind;
        uint32_t slot;
        char text[CONTROL_NAME_BYTES + 16]; /* what is dropped, in words */
    } at[CONTROL_CLIENTS];
    uint64_t number;  /* 0: the first has not been asked for yet */
    int64_t until_us; /* else until when it is waited for */
};

/* NULL, or why not. The answer comes from purges_step(), to the ticket. */
const char *purges_add(struct purges *purges, const struct conf *conf, const struct control_order *order) MUST_USE;
/* Whenever something may have changed; the next time that something is due, or INT64_MAX. */
int64_t purges_step(struct purges *purges, struct shared *shared, struct control_socket *control, int64_t now_us);

#endif
