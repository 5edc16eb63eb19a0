#include "master/takeover.h"
#include "master/wire.h"

#include <unistd.h>

void takeover_begin(struct takeover *t, int wire_fd, const char *cold, const char *found)
{
    *t = (struct takeover){cold != NULL ? TAKEOVER_HELD : TAKEOVER_BEGUN, wire_fd, found};
    if (cold != NULL)
        (void)wire_say(wire_fd, WIRE_COLD, cold); /* who does not hear it is dead, which is noticed */
}

int takeover_fd(const struct takeover *t)
{
    return t->wire_fd;
}

bool takeover_owns(const struct takeover *t)
{
    return t->state == TAKEOVER_NONE;
}

bool takeover_may_start(const struct takeover *t)
{
    return t->state != TAKEOVER_HELD;
}

void takeover_release(struct takeover *t)
{
    if (t->state == TAKEOVER_HELD)
        t->state = TAKEOVER_BEGUN;
}

static enum takeover_step hear(struct takeover *t)
{
    char text[WIRE_TEXT_BYTES];
    switch (wire_hear(t->wire_fd, text)) {
    case WIRE_GO:
        takeover_release(t);
        break;
    case WIRE_YOURS:
        return t->state == TAKEOVER_READY ? TAKEOVER_NOW : TAKEOVER_SAME;
    case WIRE_CLOSED:
        close(t->wire_fd);
        t->wire_fd = -1;
        return TAKEOVER_ALONE;
    case WIRE_NOTHING:
    case WIRE_COLD:
    case WIRE_READY:
    case WIRE_TAKEN:
    case WIRE_FAILED:
        break;
    }
    return TAKEOVER_SAME;
}

enum takeover_step takeover_step(struct takeover *t, bool all_ready)
{
    enum takeover_step step = t->wire_fd >= 0 ? hear(t) : TAKEOVER_SAME;
    if (step != TAKEOVER_SAME)
        return step;
    if (t->state == TAKEOVER_BEGUN && all_ready) {
        t->state = TAKEOVER_READY;
        if (t->wire_fd >= 0)
            (void)wire_say(t->wire_fd, WIRE_READY, t->found);
    }
    return t->state == TAKEOVER_READY && t->wire_fd < 0 ? TAKEOVER_NOW : TAKEOVER_SAME;
}

void takeover_done(struct takeover *t)
{
    t->state = TAKEOVER_NONE;
    if (t->wire_fd >= 0)
        (void)wire_say(t->wire_fd, WIRE_TAKEN, "");
}

void takeover_failed(struct takeover *t, const char *why)
{
    if (!takeover_owns(t) && t->wire_fd >= 0)
        (void)wire_say(t->wire_fd, WIRE_FAILED, why);
}
