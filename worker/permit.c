#include "worker/permit.h"
#include "common/clock.h"
#include "shm/permits.h"
#include "worker/request.h"
#include "worker/route.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

/* For those whose time is over, and for wake-ups that went to a process which had no use for them. */
#define LOOK_EVERY_US (10 * US_PER_MS)

struct permit_desk {
    struct service *service;
    struct permit_waiter *first, **end; /* first come, first served */
    int waiting, held;
    int for_all;        /* of those who wait, for the permit of all routes together */
    struct event looks; /* soon, from the loop */
    struct event ticks; /* while anyone waits */
};

/* A fan is at work through its parts, which must not wait for a permit that it has itself. */
static int row_of_all(const struct permit_desk *desk, const struct route *route)
{
    bool limited = desk->service->conf->max_concurrent > 0 && route->conf->from != FROM_FAN;
    return limited ? PERMIT_ALL : PERMIT_NO_ROW;
}

static bool is_needed(const struct permit_desk *desk, const struct route *route)
{
    return route->permit_row != PERMIT_NO_ROW || row_of_all(desk, route) != PERMIT_NO_ROW;
}

/* ---- taking and giving back ---- */

/* True: the next one is somebody here. */
static bool give_rows(struct permit_desk *desk, const int *rows, int count)
{
    struct service *s = desk->service;
    bool ours = false;
    for (int i = 0; i < count; i++)
        ours |= permits_give(s->shared->permits, rows[i], s->proc, s->shared->wake_fd);
    return ours;
}

static void look_soon(struct permit_desk *desk)
{
    event_active(&desk->looks, EV_TIMEOUT, 1);
}

static void on_ended(struct lease *lease)
{
    struct permit *permit = (struct permit *)(void *)((char *)lease - offsetof(struct permit, lease));
    struct permit_desk *desk = permit->desk;
    desk->held--;
    if (give_rows(desk, permit->rows, permit->row_count))
        look_soon(desk);
    free(permit);
}

/* All that it needs, or nothing and the row that it lacks. */
static bool take(struct permit_desk *desk, struct request *r, int *lacks_out)
{
    struct service *s = desk->service;
    const struct route *route = r->route;
    struct permit permit = {.lease = {1, on_ended}, .desk = desk};
    const int rows[] = {route->permit_row, row_of_all(desk, route)};
    int64_t hold_us = route->conf->timeout_us * MAX(route->query->statement_count, 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i] == PERMIT_NO_ROW)
            continue;
        if (!permits_take(s->shared->permits, rows[i], s->proc, hold_us)) {
            if (give_rows(desk, permit.rows, permit.row_count))
                look_soon(desk);
            *lacks_out = rows[i];
            return false;
        }
        permit.rows[permit.row_count++] = rows[i];
    }
    desk->held++;
    r->permit = xmalloc(sizeof *r->permit);
    *r->permit = permit;
    return true;
}

bool permit_ready(struct request *r)
{
    struct permit_desk *desk = r->service->permit_desk;
    int lacks;
    if (r->permit != NULL || !is_needed(desk, r->route))
        return true;
    if (r->route->permit_waiters > 0 || (desk->for_all > 0 && row_of_all(desk, r->route) != PERMIT_NO_ROW))
        return false;
    return take(desk, r, &lacks);
}

void permit_put(struct request *r)
{
    if (r->permit != NULL)
        lease_release(&r->permit->lease);
    r->permit = NULL;
}

void permit_refuse(struct request *r)
{
    struct service *s = r->service;
    service_count(s, STAT_permits_refused);
    stats_route_add(s->stats, s->slot, r->route->row, ROUTE_STAT_refused, 1);
    r->problem.status = 503;
    r->problem.code = "overloaded";
    r->problem.detail = "too many requests for this are being worked on";
}

/* ---- waiting: a bit in each row for this process, while anyone here lacks it ---- */

static void lack(struct permit_desk *desk, struct permit_waiter *w, bool for_all)
{
    struct service *s = desk->service;
    int *count = for_all ? &desk->for_all : &w->r->route->permit_waiters;
    w->for_all = for_all;
    if ((*count)++ == 0)
        permits_wait(s->shared->permits, for_all ? PERMIT_ALL : w->r->route->permit_row, s->proc);
}

static void lack_no_more(struct permit_desk *desk, const struct permit_waiter *w)
{
    struct service *s = desk->service;
    int *count = w->for_all ? &desk->for_all : &w->r->route->permit_waiters;
    if (--*count == 0)
        permits_leave(s->shared->permits, w->for_all ? PERMIT_ALL : w->r->route->permit_row, s->proc);
}

bool permit_wait(struct permit_waiter *w)
{
    struct request *r = w->r;
    const struct conf *conf = r->service->conf;
    struct permit_desk *desk = r->service->permit_desk;
    const struct timeval every = {0, LOOK_EVERY_US};
    if (conf->permit_wait_us == 0 || desk->waiting >= conf->permit_queue)
        return false;
    w->since_us = clock_mono_us();
    w->until_us = MIN(w->since_us + conf->permit_wait_us, r->deadline_us);
    w->next = NULL;
    *desk->end = w;
    desk->end = &w->next;
    if (desk->waiting++ == 0)
        event_add(&desk->ticks, &every);
    lack(desk, w, r->route->permit_row == PERMIT_NO_ROW);
    look_soon(desk); /* what came back before our bit was seen woke nobody */
    return true;
}

/* What was found to be lacking in a look is so for those behind as well. */
struct found {
    bool for_all;
    const struct route *routes[8];
    int count;
};

static bool is_lacking(const struct found *found, const struct permit_waiter *w)
{
    bool lacking = found->for_all && w->for_all;
    for (int i = 0; i < found->count && !lacking; i++)
        lacking = found->routes[i] == w->r->route;
    return lacking;
}

static void note_lacking(struct found *found, const struct permit_waiter *w)
{
    if (w->for_all)
        found->for_all = true;
    else if (found->count < (int)ARRAY_LEN(found->routes))
        found->routes[found->count++] = w->r->route;
}

/* True: it has its permit. */
static bool try_for(struct permit_desk *desk, struct permit_waiter *w, struct found *found)
{
    int lacks;
    if (is_lacking(found, w))
        return false;
    if (take(desk, w->r, &lacks))
        return true;
    bool for_all = lacks == PERMIT_ALL;
    if (for_all != w->for_all) {
        lack_no_more(desk, w);
        lack(desk, w, for_all);
        look_soon(desk);
    }
    note_lacking(found, w);
    return false;
}

/* Those who have waited are taken out of the line first: a turn() may come to wait again. */
static struct permit_waiter *take_out_served(struct permit_desk *desk)
{
    struct permit_waiter *served = NULL, **served_end = &served;
    struct found found = {0};
    int64_t now_us = clock_mono_us();
    for (struct permit_waiter **at = &desk->first, *w; (w = *at) != NULL;) {
        if (!try_for(desk, w, &found) && now_us < w->until_us) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        desk->waiting--;
        lack_no_more(desk, w);
        *served_end = w;
        served_end = &w->next;
    }
    *served_end = NULL;
    desk->end = &desk->first;
    while (*desk->end != NULL)
        desk->end = &(*desk->end)->next;
    if (desk->waiting == 0)
        event_del(&desk->ticks);
    return served;
}

void permit_look(struct permit_desk *desk)
{
    struct service *s = desk->service;
    if (desk->waiting == 0)
        return;
    for (struct permit_waiter *w = take_out_served(desk), *next; w != NULL; w = next) {
        next = w->next;
        stats_observe(s->stats, s->slot, HIST_permit_wait, clock_mono_us() - w->since_us);
        w->turn(w->arg, w->r->permit != NULL);
    }
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    permit_look(arg);
}

struct permit_desk *permit_desk_create(struct service *service)
{
    struct permit_desk *desk = xcalloc(1, sizeof *desk);
    desk->service = service;
    desk->end = &desk->first;
    event_assign(&desk->looks, service->base, -1, 0, on_look, desk);
    event_assign(&desk->ticks, service->base, -1, EV_PERSIST, on_look, desk);
    return desk;
}

void permit_desk_destroy(struct permit_desk **desk)
{
    event_del(&(*desk)->looks);
    event_del(&(*desk)->ticks);
    free(*desk);
    *desk = NULL;
}

int permit_held(const struct permit_desk *desk)
{
    return desk->held;
}

int permit_waiting(const struct permit_desk *desk)
{
    return desk->waiting;
}
