#include "worker/doors.h"
#include "common/clock.h"
#include "common/log.h"
#include "worker/http.h"
#include "worker/request.h"
#include "worker/tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct place {
    struct worker_socket socket; /* fd -1: closed */
    bool on;
    /* Of a configuration that is not in force yet; or of one that is no more: nobody can connect to it. */
    enum { PLACE_BOUND, PLACE_LISTENS, PLACE_ENDED } state;
};

struct doors {
    struct service *service;
    struct http *at[DOORS]; /* DOOR_TLS NULL: no tls is configured */
    struct place *places;
    int count;
};

static bool open_tls(struct doors *d, const struct http_handlers *consumers, struct err *err)
{
    struct service *s = d->service;
    struct tls *tls = tls_create(s->conf, s->start->tls_files, s->start->tickets, err);
    if (tls == NULL)
        return false;
    d->at[DOOR_TLS] = http_create(s->base, s->conf, tls, s->offload, consumers, s);
    return true;
}

struct doors *doors_create(struct service *s, struct err *err)
{
    static const struct http_handlers consumers = {request_hit, request_begin, true},
                                      admins = {NULL, request_begin_admin, false};
    struct doors *d = xcalloc(1, sizeof *d);
    d->service = s;
    d->at[DOOR_PLAIN] = http_create(s->base, s->conf, NULL, NULL, &consumers, s);
    d->at[DOOR_ADMIN] = http_create(s->base, s->conf, NULL, NULL, &admins, s);
    if (s->conf->tls.set && !open_tls(d, &consumers, err)) {
        http_destroy(&d->at[DOOR_PLAIN]);
        http_destroy(&d->at[DOOR_ADMIN]);
        free(d);
        return NULL;
    }
    d->count = s->start->socket_count;
    d->places = xcalloc((size_t)MAX(d->count, 1), sizeof *d->places);
    for (int i = 0; i < d->count; i++)
        d->places[i].socket = s->start->sockets[i];
    return d;
}

/* ---- who accepts ---- */

static bool is_mine(const struct doors *d, int slot)
{
    const struct service *s = d->service;
    const struct owners *owners = s->shared->owners;
    if (s->draining)
        return false;
    if (slot != SLOT_ANY && slot != s->slot)
        return owners_get(owners, slot) == s->proc;
    return s->described || owners_get(owners, s->slot) == s->proc;
}

static void turn(struct doors *d, struct place *place, bool on)
{
    static struct log_limit limit;
    struct http *http = d->at[place->socket.door];
    if (place->on == on)
        return;
    if (!on)
        http_unlisten(http, place->socket.fd);
    else if (!http_listen(http, place->socket.fd) && log_limit_pass(&limit, 10 * US_PER_S, clock_mono_us()))
        log_error("cannot accept on socket %d: %s", place->socket.fd, strerror(errno));
    place->on = on;
}

static bool listens(int fd)
{
    int yes = 0;
    socklen_t bytes = sizeof yes;
    return fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &bytes) == 0 && yes;
}

void doors_look(struct doors *d)
{
    bool slots[WORKERS_MAX] = {false};
    int count = 0;
    for (int i = 0; i < d->count; i++) {
        struct place *place = &d->places[i];
        if (place->state == PLACE_BOUND && listens(place->socket.fd))
            place->state = PLACE_LISTENS;
        bool mine = place->socket.fd >= 0 && place->state == PLACE_LISTENS && d->at[place->socket.door] != NULL &&
                    is_mine(d, place->socket.slot);
        turn(d, place, mine);
        if (mine && place->socket.slot >= 0 && !slots[place->socket.slot]) {
            slots[place->socket.slot] = true;
            count++;
        }
    }
    d->service->accepts_for = count;
}

/* ---- sockets that have ended ---- */

static void close_place(struct place *place)
{
    close(place->socket.fd);
    place->socket.fd = -1;
}

/* Between the look that stops accepting and the close the loop has to turn: the kernel forgets what it watches only
 * with the last copy of a descriptor, and is told that nobody waits for it when the loop turns. */
static void close_ended(struct doors *d)
{
    for (int i = 0; i < d->count; i++) {
        struct place *place = &d->places[i];
        if (place->socket.fd < 0)
            continue;
        if (place->state == PLACE_ENDED)
            close_place(place);
        else if (place->state == PLACE_LISTENS && !listens(place->socket.fd))
            place->state = PLACE_ENDED;
    }
}

void doors_tick(struct doors *d, int64_t now_us)
{
    for (int i = 0; i < DOORS; i++)
        if (d->at[i] != NULL)
            http_tick(d->at[i], now_us);
    close_ended(d);
    doors_look(d);
}

/* ---- ending ---- */

void doors_drain(struct doors *d)
{
    doors_look(d);
    for (int i = 0; i < DOORS; i++)
        if (d->at[i] != NULL)
            http_drain(d->at[i]);
}

int doors_drain_step(struct doors *d, int64_t now_us)
{
    int left = 0;
    for (int i = 0; i < d->count; i++)
        if (d->places[i].socket.fd >= 0)
            close_place(&d->places[i]);
    for (int i = 0; i < DOORS; i++)
        left += d->at[i] != NULL ? http_drain_step(d->at[i], now_us) : 0;
    return left;
}

/* ---- figures ---- */

int doors_connections(const struct doors *d)
{
    return http_connections(d->at[DOOR_PLAIN]) + (d->at[DOOR_TLS] ? http_connections(d->at[DOOR_TLS]) : 0);
}

int doors_lent(const struct doors *d)
{
    return http_lent(d->at[DOOR_PLAIN]) + (d->at[DOOR_TLS] ? http_lent(d->at[DOOR_TLS]) : 0);
}
