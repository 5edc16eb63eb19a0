#include "master/listeners.h"
#include "common/clock.h"
#include "common/log.h"

#include <stdlib.h>
#include <string.h>

#define LINGER_US US_PER_S
/* The last handshakes end within the first, a worker that accepts none within the second never will. */
#define SILENCE_US (100 * US_PER_MS)
#define SILENCE_MAX_US (3 * US_PER_S)
#define LINGER_STEP_US (10 * US_PER_MS)

static const struct conf_listens *addresses_of(const struct conf *conf, enum door door)
{
    switch (door) {
    case DOOR_PLAIN:
        return &conf->listen;
    case DOOR_TLS:
        return &conf->tls.listen;
    case DOOR_ADMIN:
        return &conf->admin;
    case DOORS:
        break;
    }
    return NULL;
}

static struct endpoint *find(const struct listeners *ls, const struct conf_listen *at)
{
    for (int i = 0; i < ls->count; i++)
        if (endpoint_is_at(ls->at[i], at))
            return ls->at[i];
    return NULL;
}

static bool overlaps(const struct listeners *ls, const struct conf_listen *at)
{
    for (int i = 0; i < ls->count; i++)
        if (at->port != NULL && ls->at[i]->at.port != NULL && strcmp(at->port, ls->at[i]->at.port) == 0)
            return true;
    return ls->inherited != NULL && at->port != NULL && inherited_has_port(ls->inherited, atoi(at->port));
}

static void remove_at(struct listeners *ls, int i, bool unlinks)
{
    endpoint_destroy(&ls->at[i], unlinks);
    memmove(&ls->at[i], &ls->at[i + 1], (size_t)(--ls->count - i) * sizeof(struct endpoint *));
}

/* ---- staging ---- */

static enum endpoint_bound stage_one(struct listeners *ls, const struct conf_listen *at, enum door door, int slots,
                                     struct err *err)
{
    struct endpoint *l = find(ls, at);
    bool is_new = l == NULL, beside = overlaps(ls, at);
    if (is_new) {
        l = endpoint_create(at);
        ls->at = xrealloc(ls->at, (size_t)(ls->count + 1) * sizeof(struct endpoint *));
        ls->at[ls->count++] = l;
    }
    if (is_new && ls->inherited != NULL)
        endpoint_inherit(l, ls->inherited);
    l->at.pos = at->pos;
    enum endpoint_bound bound = endpoint_bind(l, slots, beside, err);
    l->at.pos = (struct conf_pos){NULL, 0, 0};
    l->wanted = bound == ENDPOINT_BOUND;
    l->next_door = door;
    if (bound != ENDPOINT_BOUND && is_new)
        remove_at(ls, ls->count - 1, true);
    return bound;
}

static bool stage_door(struct listeners *ls, const struct conf *conf, enum door door, struct err *err)
{
    const struct conf_listens *addresses = addresses_of(conf, door);
    int bound = 0;
    for (int i = 0; i < addresses->count; i++) {
        const struct conf_listen *at = &addresses->at[i];
        switch (stage_one(ls, at, door, conf->workers, err)) {
        case ENDPOINT_BOUND:
            bound++;
            break;
        case ENDPOINT_NO_V6:
            log_warn("listen [%s]:%s: this host has no IPv6; skipped", at->host, at->port);
            break;
        case ENDPOINT_FAILED:
            return false;
        }
    }
    if (bound > 0 || addresses->count == 0)
        return true;
    const struct conf_pos *pos = &addresses->at[0].pos;
    return err_set(err, "%s:%d:%d: no address is left to listen on", pos->file, pos->line, pos->column);
}

/* Workers of a configuration without any tls have no certificate: who comes while they take over must not wait in a
 * queue that none of them can serve. */
static void silence_tls(struct listeners *ls, const struct conf *conf)
{
    for (int i = 0; i < ls->count && !conf->tls.set; i++)
        if (!ls->at[i]->wanted && ls->at[i]->door == DOOR_TLS && !ls->at[i]->passed)
            endpoint_silence(ls->at[i], true);
}

bool listeners_stage(struct listeners *ls, const struct conf *conf, struct err *err)
{
    bool ok = true;
    for (int i = 0; i < ls->count; i++)
        ls->at[i]->wanted = false;
    for (int door = 0; door < DOORS && ok; door++)
        ok = stage_door(ls, conf, (enum door)door, err);
    if (ok)
        silence_tls(ls, conf);
    else
        listeners_unstage(ls);
    return ok;
}

void listeners_unstage(struct listeners *ls)
{
    for (int i = ls->count - 1; i >= 0; i--) {
        endpoint_unbind(ls->at[i]);
        ls->at[i]->wanted = ls->at[i]->ends_us == 0;
        if (ls->at[i]->wanted)
            endpoint_silence(ls->at[i], false);
        if (ls->at[i]->listening == 0)
            remove_at(ls, i, true);
    }
}

/* To end it would end the service manager's own, which is passed to the next perfd. */
static void keep_passed(const struct endpoint *l)
{
    char name[160];
    endpoint_name(&l->at, name);
    log_warn("%s was passed by the service manager: it is accepted on until perfd is started anew", name);
}

void listeners_force(struct listeners *ls, int64_t now_us)
{
    for (int i = 0; i < ls->count; i++) {
        struct endpoint *l = ls->at[i];
        if (!l->wanted && l->passed) {
            keep_passed(l);
            continue;
        }
        if (!l->wanted) {
            l->ends_us = l->ends_us != 0 ? l->ends_us : now_us + LINGER_US;
            continue;
        }
        l->ends_us = 0;
        endpoint_silence(l, false);
        l->door = l->next_door;
        endpoint_listen(l);
    }
}

bool listeners_open(struct listeners *ls, const struct conf *conf, struct inherited *inherited, struct err *err)
{
    *ls = (struct listeners){.inherited = inherited};
    bool ok = listeners_stage(ls, conf, err);
    ls->inherited = NULL;
    if (ok)
        listeners_force(ls, 0);
    else
        listeners_leave(ls); /* it may be tried again */
    return ok;
}

/* ---- ending ---- */

bool listeners_end_some(const struct listeners *ls)
{
    for (int i = 0; i < ls->count; i++)
        if (ls->at[i]->ends_us != 0)
            return true;
    return false;
}

int64_t listeners_step(struct listeners *ls, int64_t now_us)
{
    int64_t next_us = INT64_MAX;
    for (int i = ls->count - 1; i >= 0; i--) {
        struct endpoint *l = ls->at[i];
        if (l->ends_us == 0 || l->wanted)
            continue;
        if (now_us < l->ends_us) {
            next_us = MIN(next_us, l->ends_us);
        } else if (!l->silent) {
            endpoint_silence(l, true);
            l->ends_us = now_us + SILENCE_US;
            next_us = MIN(next_us, l->ends_us);
        } else if (!endpoint_is_idle(l) && now_us < l->ends_us + SILENCE_MAX_US) {
            next_us = MIN(next_us, now_us + LINGER_STEP_US);
        } else {
            char name[160];
            endpoint_name(&l->at, name);
            log_info("%s is closed: the configuration has it no more", name);
            endpoint_end(l);
            remove_at(ls, i, true);
        }
    }
    return next_us;
}

static void remove_all(struct listeners *ls, bool unlinks)
{
    while (ls->count > 0)
        remove_at(ls, ls->count - 1, unlinks);
    free(ls->at);
    ls->at = NULL;
}

void listeners_close(struct listeners *ls)
{
    remove_all(ls, true);
}

void listeners_leave(struct listeners *ls)
{
    remove_all(ls, false);
}

void listeners_hand(const struct listeners *ls, struct inherited *to)
{
    for (int i = 0; i < ls->count; i++)
        for (int slot = 0; slot < ls->at[i]->listening; slot++)
            inherited_add(to, ls->at[i]->fds[slot], ls->at[i]->passed && slot == 0);
}

/* ---- what workers get ---- */

int listeners_slots(const struct listeners *ls)
{
    int slots = 0;
    for (int i = 0; i < ls->count; i++)
        slots = ls->at[i]->single ? slots : MAX(slots, ls->at[i]->bound);
    return slots;
}

/* False: neither conf nor the configuration in force has it. */
static bool door_of(const struct endpoint *l, const struct conf *conf, enum door *door_out)
{
    for (int door = 0; door < DOORS; door++) {
        const struct conf_listens *addresses = addresses_of(conf, (enum door)door);
        for (int i = 0; i < addresses->count; i++)
            if (endpoint_is_at(l, &addresses->at[i])) {
                *door_out = (enum door)door;
                return true;
            }
    }
    *door_out = l->door;
    return l->listening > 0;
}

struct worker_socket *listeners_sockets(const struct listeners *ls, const struct conf *conf, int *count_out)
{
    int most = 1;
    for (int i = 0; i < ls->count; i++)
        most += ls->at[i]->bound;
    struct worker_socket *sockets = xcalloc((size_t)most, sizeof *sockets), *end = sockets;
    for (int i = 0; i < ls->count; i++) {
        const struct endpoint *l = ls->at[i];
        enum door door;
        if (!door_of(l, conf, &door))
            continue;
        for (int slot = 0; slot < l->bound; slot++)
            *end++ = (struct worker_socket){l->fds[slot], l->single ? SLOT_ANY : slot, door};
    }
    *count_out = (int)(end - sockets);
    return sockets;
}
