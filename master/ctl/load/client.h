/* One connection to the server, with one request at a time. It is opened when it is needed and kept; one that the
 * server closed while it was idle is opened again. A request that comes upon such a close is sent once more, if it is
 * one that may be (RFC 9110 9.2.2). */
#ifndef CTL_LOAD_CLIENT_H
#define CTL_LOAD_CLIENT_H

#include "common/slice.h"
#include "master/ctl/load/tally.h"

#include <event2/event.h>
#include <sys/socket.h>

/* What all clients of a load have in common. */
struct client_world {
    struct event_base *base;
    struct sockaddr_storage address;
    socklen_t address_len;
    const struct timeval *timeout; /* of a request, its connection included; a common time-out of base */
    int64_t opened, again;         /* connections, and those of them that took the place of one that was closed */
    char *scratch;                 /* CLIENT_READ_BYTES */
};
enum { CLIENT_READ_BYTES = 64 << 10 };

struct client_result {
    enum outcome outcome;
    int status;
    int64_t bytes; /* of the answer */
};

/* Comes once a request, never inside client_send(). The client is ready for the next request. */
typedef void client_done(void *owner, const struct client_result *result);

struct client;

struct client *client_create(struct client_world *world, client_done *done, void *owner) MUST_USE;
void client_destroy(struct client **client); /* nothing comes any more */
/* A whole request; bytes are copied. The client must be free. */
void client_send(struct client *client, struct slice bytes);

#endif
