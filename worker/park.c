#include "worker/park.h"
#include "common/clock.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <unistd.h>

#define LOOK_EVERY_US (100 * US_PER_MS)

struct unfinished {
    struct flight_ticket ticket;
    enum flight_end end;
    int status;
    struct unfinished *next;
};

struct park {
    struct service *service;
    struct parked *first;
    struct unfinished *unfinished;
    struct event woken; /* another process, or this one, ended a flight that we wait for */
    struct event timer; /* while anyone waits: deadlines, and wake-ups that died with their sender */
};

static void remove_parked(struct park *park, struct parked *p)
{
    *(p->prev ? &p->prev->next : &park->first) = p->next;
    if (p->next != NULL)
        p->next->prev = p->prev;
}

static bool has_ended(struct park *park, struct parked *p, int64_t now_us, enum park_end *end, int *status)
{
    enum flight_end how;
    switch (flight_look(park->service->shared->flights, &p->ticket, p->key_hash, &how, status)) {
    case FLIGHT_RUNNING:
        *end = PARK_LATE;
        return now_us >= p->deadline_us;
    case FLIGHT_ORPHAN:
        *end = PARK_ORPHAN;
        return true;
    case FLIGHT_ENDED:
        *end = how == FLIGHT_VALUE ? PARK_VALUE : how == FLIGHT_NONE ? PARK_NONE : PARK_ERROR;
        return true;
    }
    return false;
}

static bool finish(struct park *park, const struct flight_ticket *ticket, enum flight_end end, int status)
{
    const struct service *s = park->service;
    return flight_finish(s->shared->flights, ticket, s->proc, end, status, s->shared->wake_fd);
}

static void finish_late_ones(struct park *park)
{
    for (struct unfinished **at = &park->unfinished; *at != NULL;) {
        struct unfinished *u = *at;
        if (!finish(park, &u->ticket, u->end, u->status)) {
            at = &u->next;
            continue;
        }
        *at = u->next;
        free(u);
    }
}

/* Those that ended are taken out first: an ended() may park again. */
static void look(struct park *park)
{
    int64_t now_us = clock_mono_us();
    struct ended {
        struct parked *parked;
        enum park_end end;
        int status;
    } *ended = NULL;
    size_t count = 0, cap = 0;
    for (struct parked *p = park->first, *next; p != NULL; p = next) {
        struct ended e = {.parked = p};
        next = p->next;
        if (!has_ended(park, p, now_us, &e.end, &e.status))
            continue;
        if (count == cap)
            ended = xrealloc(ended, (cap = cap ? 2 * cap : 16) * sizeof *ended);
        ended[count++] = e;
        remove_parked(park, p);
    }
    for (size_t i = 0; i < count; i++)
        ended[i].parked->ended(ended[i].parked, ended[i].end, ended[i].status);
    free(ended);
    finish_late_ones(park);
    if (park->first == NULL && park->unfinished == NULL)
        event_del(&park->timer);
}

static void on_woken(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    uint64_t times;
    if (read(fd, &times, sizeof times) == sizeof times)
        look(arg);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    look(arg);
}

struct park *park_create(struct service *service)
{
    struct park *park = xcalloc(1, sizeof *park);
    park->service = service;
    event_assign(&park->woken, service->base, service->shared->wake_fd[service->proc], EV_READ | EV_PERSIST, on_woken,
                 park);
    event_assign(&park->timer, service->base, -1, EV_PERSIST, on_timer, park);
    event_add(&park->woken, NULL);
    return park;
}

void park_destroy(struct park **park)
{
    event_del(&(*park)->woken);
    event_del(&(*park)->timer);
    free(*park);
    *park = NULL;
}

static void watch(struct park *park)
{
    struct timeval every = {0, LOOK_EVERY_US};
    if (!event_pending(&park->timer, EV_TIMEOUT, NULL))
        event_add(&park->timer, &every);
}

void park_finish(struct park *park, const struct flight_ticket *ticket, enum flight_end end, int status)
{
    if (finish(park, ticket, end, status))
        return;
    struct unfinished *u = xcalloc(1, sizeof *u);
    *u = (struct unfinished){*ticket, end, status, park->unfinished};
    park->unfinished = u;
    watch(park);
}

void park_add(struct park *park, struct parked *p)
{
    p->prev = NULL;
    p->next = park->first;
    if (p->next != NULL)
        p->next->prev = p;
    park->first = p;
    watch(park);
}
