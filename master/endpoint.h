/* The sockets of one address: one SO_REUSEPORT socket a slot, kept by the master as long as the address is configured,
 * so that a worker's end resets nothing that is queued on it. A unix socket is one for all slots, and so is a
 * socket that the service manager passed, unless others can be bound beside it. They are bound first, which can fail,
 * and listen when the configuration that wants them comes into force. */
#ifndef MASTER_ENDPOINT_H
#define MASTER_ENDPOINT_H

#include "common/conf.h"
#include "master/inherited.h"
#include "worker/worker.h"

struct endpoint {
    struct conf_listen at; /* copies */
    enum door door;        /* in the configuration in force */
    bool single;           /* fds[0] is every slot's */
    bool passed;           /* fds[0] is the service manager's (passed.h) */
    int fds[WORKERS_MAX];  /* non-blocking; -1: none */
    int bound, listening;  /* of them, from the first one on */
    /* listeners.c's */
    bool wanted; /* by the staged configuration, behind this door: */
    enum door next_door;
    int64_t ends_us; /* no configuration has the address any more; 0: one has */
    bool silent;
};

enum endpoint_bound { ENDPOINT_BOUND, ENDPOINT_NO_V6, ENDPOINT_FAILED };

struct endpoint *endpoint_create(const struct conf_listen *at) MUST_USE;
/* The names of unix sockets go only with unlinks. */
void endpoint_destroy(struct endpoint **endpoint, bool unlinks);

/* Takes the sockets that are bound to its address, which listen already. */
void endpoint_inherit(struct endpoint *endpoint, struct inherited *inherited);
bool endpoint_is_at(const struct endpoint *endpoint, const struct conf_listen *at);
/* "*:80", "[::]:80", "unix:/run/a". */
void endpoint_name(const struct conf_listen *at, char text[static 160]);

/* Sockets for so many slots; those that there are stay. An address that another program listens on is an error although
 * SO_REUSEPORT would let two share it, unless one of our own overlaps it. ENDPOINT_NO_V6: the host has no IPv6. */
enum endpoint_bound endpoint_bind(struct endpoint *endpoint, int slots, bool overlaps, struct err *err) MUST_USE;
void endpoint_listen(struct endpoint *endpoint);
void endpoint_unbind(struct endpoint *endpoint); /* those that do not listen yet */
/* Whether a connection can begin. One that cannot is not refused: its consumer tries again, a second later. What has
 * begun goes on. */
void endpoint_silence(struct endpoint *endpoint, bool silent);
/* Nobody has a connection that is not accepted yet. */
bool endpoint_is_idle(const struct endpoint *endpoint);
/* Nobody can connect any more, to any copy: workers find their sockets ended (doors.h). */
void endpoint_end(struct endpoint *endpoint);

#endif
