#include "worker/park.h"
#include "common/clock.h"
#include "shm/doing.h"
#include "worker/permit.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <unistd.h>

/* Every worker is woken when a flight ends or its owner dies, so this serves deadlines alone. */
#define LOOK_EVERY_US (100 * US_PER_MS)
enum { PARKED_MAX = 10000 };

struct park {
    struct service *service;
    struct parked *first;
    int count;
    struct event woken; /* another process, or this one, ended a flight or gave back a permit that we wait for */
    struct event timer; /* while anyone waits */
};

static void remove_parked(struct park *park, struct parked *p)
{
    *(p->prev ? &p->prev->next : &park->first) = p->next;
    if (p->next != NULL)
        p->next->prev = p->prev;
    park->count--;
}

static bool has_ended(struct park *park, struct parked *p, int64_t now_us, enum park_end *end, int *status)
{
    switch (flight_look(park->service->shared->flights, &p->ticket, status)) {
    case FLIGHT_RUNNING:
        *end = PARK_LATE;
        return now_us >= p->deadline_us;
    case FLIGHT_HAS_VALUE:
        *end = PARK_VALUE;
        return true;
    case FLIGHT_HAS_NONE:
        *end = PARK_NONE;
        return true;
    case FLIGHT_HAS_FAILED:
        *end = PARK_ERROR;
        return true;
    case FLIGHT_GONE:
        break;
    }
    *end = PARK_GONE;
    return true;
}

static bool any_waits_in(const struct park *park, uint32_t slot)
{
    for (const struct parked *p = park->first; p != NULL; p = p->next)
        if (p->ticket.slot == slot)
            return true;
    return false;
}

/* One bit stands for all of this process that wait in a slot. A bit that stays behind costs a needless wake-up. */
static void leave(struct park *park, const struct parked *p)
{
    if (park->first == NULL || !any_waits_in(park, p->ticket.slot))
        flight_leave(park->service->shared->flights, &p->ticket, park->service->proc);
}

struct ended {
    struct parked *parked;
    enum park_end end;
    int status;
};

/* Those that ended are taken out first: an ended() may park again. */
static void look(struct park *park)
{
    int64_t now_us = clock_mono_us();
    struct ended *ended = NULL;
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
        if (i == 0 || ended[i].parked->ticket.slot != ended[i - 1].parked->ticket.slot)
            leave(park, ended[i].parked);
    for (size_t i = 0; i < count; i++)
        stats_observe(park->service->stats, park->service->slot, HIST_flight_wait, now_us - ended[i].parked->since_us);
    for (size_t i = 0; i < count; i++)
        ended[i].parked->ended(ended[i].parked, ended[i].end, ended[i].status);
    free(ended);
    if (park->first == NULL)
        event_del(&park->timer);
}

static void on_woken(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct park *park = arg;
    uint64_t times;
    doing(DOING_wake);
    if (read(fd, &times, sizeof times) != sizeof times)
        return;
    look(park);
    permit_look(park->service->permit_desk);
    if (park->service->woken != NULL)
        park->service->woken(park->service);
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

bool park_add(struct park *park, struct parked *p)
{
    const struct timeval every = {0, LOOK_EVERY_US};
    if (park->count >= PARKED_MAX)
        return false;
    p->since_us = clock_mono_us();
    p->prev = NULL;
    p->next = park->first;
    if (p->next != NULL)
        p->next->prev = p;
    park->first = p;
    park->count++;
    if (!event_pending(&park->timer, EV_TIMEOUT, NULL))
        event_add(&park->timer, &every);
    return true;
}

int park_count(const struct park *park)
{
    return park->count;
}
