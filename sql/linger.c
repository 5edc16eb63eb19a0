#include "sql/linger.h"
#include "common/clock.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <sys/socket.h>

/* The server's clock of a time-out begins when the statement does, and its end takes a moment to be seen. */
#define GRACE_US US_PER_S
enum { DISCARD_BYTES = 64 << 10 };

struct lingering {
    PGconn *pg;
    struct leases leases;
    struct event input, limit;
};

static void end(struct lingering *l)
{
    event_del(&l->input);
    event_del(&l->limit);
    PQfinish(l->pg);
    leases_end(&l->leases);
    free(l);
}

/* Its bytes may be ciphertext, they tell nothing but that it is still there. */
static void on_input(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    static char discarded[DISCARD_BYTES];
    ssize_t got = recv(fd, discarded, sizeof discarded, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        end(arg);
}

static void on_limit(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    end(arg);
}

void linger_begin(struct event_base *base, PGconn *pg, struct leases *leases)
{
    struct lingering *l = xcalloc(1, sizeof *l);
    int64_t limit_us = leases->run_us + GRACE_US;
    struct timeval limit = {limit_us / US_PER_S, limit_us % US_PER_S};
    *l = (struct lingering){.pg = pg, .leases = *leases};
    *leases = (struct leases){0};
    event_assign(&l->input, base, PQsocket(pg), EV_READ | EV_PERSIST, on_input, l);
    event_assign(&l->limit, base, -1, 0, on_limit, l);
    event_add(&l->limit, &limit);
    if (PQsocket(pg) < 0)
        return;
    shutdown(PQsocket(pg), SHUT_WR);
    event_add(&l->input, NULL);
}
