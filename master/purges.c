#include "master/purges.h"
#include "common/clock.h"
#include "common/log.h"
#include "shm/shared.h"

#include <stdio.h>
#include <string.h>

/* Redis may take its time-out twice, and a keeper that died is started again at once. */
#define PATIENCE_US (2 * US_PER_S)
/* The keeper wakes the master; should the master have been told of something else in between, it looks again. */
#define LOOK_US (100 * US_PER_MS)

static const struct conf_route *route_of(const struct conf *conf, const char *name)
{
    for (int i = 0; i < conf->route_count; i++)
        if (strcmp(conf->routes[i].name, name) == 0)
            return &conf->routes[i];
    return NULL;
}

/* It is told in the log. */
static bool is_fit(const char *name)
{
    for (; *name != '\0'; name++)
        if ((unsigned char)*name < ' ' || *name == 0x7f)
            return false;
    return true;
}

static const char *wrong_with(const struct conf *conf, enum purge_kind kind, const char *name)
{
    const struct conf_route *route = kind == PURGE_ROUTE ? route_of(conf, name) : NULL;
    if (!is_fit(name))
        return "the name has control characters";
    switch (kind) {
    case PURGE_ALL:
        return *name != '\0' ? "everything has no name" : NULL;
    case PURGE_TAG:
        return *name == '\0' ? "which tag?" : NULL;
    case PURGE_ROUTE:
        if (route == NULL)
            return "there is no such route; perfctl routes has their names";
        return route->cached ? NULL : "the route is not cached";
    }
    return "tag, route or all can be purged";
}

static bool read_kind(const char *what, enum purge_kind *kind)
{
    static const char *const names[] = {[PURGE_TAG] = "tag", [PURGE_ROUTE] = "route", [PURGE_ALL] = "all"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(what, names[i]) == 0) {
            *kind = (enum purge_kind)i;
            return true;
        }
    return false;
}

const char *purges_add(struct purges *p, const struct conf *conf, const struct control_order *order)
{
    enum purge_kind kind;
    if (!read_kind(order->what, &kind))
        return "tag, route or all can be purged";
    const char *wrong = wrong_with(conf, kind, order->name);
    if (wrong != NULL || p->count == (int)ARRAY_LEN(p->at))
        return wrong != NULL ? wrong : "too many wait for others";
    int i = p->count++;
    p->at[i].ticket = order->ticket;
    p->at[i].kind = kind;
    p->at[i].slot = kind == PURGE_ROUTE ? purge_route_slot(order->name) : tags_slot(slice_str(order->name));
    snprintf(p->at[i].text, sizeof p->at[i].text, "%s%s%s", order->what, *order->name ? " " : "", order->name);
    return NULL;
}

static void tell(struct purges *p, struct control_socket *control, const struct purge_result *result)
{
    char message[CONTROL_NAME_BYTES + 128];
    if (result != NULL)
        snprintf(message, sizeof message, "%s: %llu entries, %llu KB dropped from shared memory", p->at[0].text,
                 (unsigned long long)result->entries, (unsigned long long)(result->bytes + 1023) / 1024);
    else
        snprintf(message, sizeof message, "%s: everything is dropped, as the keeper did not answer in time",
                 p->at[0].text);
    log_info("purge %s", message);
    control_socket_done(control, CONTROL_PURGE, p->at[0].ticket, NULL, message);
    p->number = 0;
    memmove(&p->at[0], &p->at[1], (size_t)--p->count * sizeof p->at[0]);
}

int64_t purges_step(struct purges *p, struct shared *shared, struct control_socket *control, int64_t now_us)
{
    struct purge_result result;
    while (p->count > 0) {
        if (p->number == 0) {
            p->number = purge_ask(shared->purge, p->at[0].kind, p->at[0].slot);
            p->until_us = now_us + PATIENCE_US;
        }
        if (purge_is_done(shared->purge, p->number, &result)) {
            tell(p, control, &result);
        } else if (now_us >= p->until_us) {
            shared_doubt(shared);
            tell(p, control, NULL);
        } else {
            return MIN(p->until_us, now_us + LOOK_US);
        }
    }
    return INT64_MAX;
}
