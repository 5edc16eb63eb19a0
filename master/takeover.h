/* The new master's side of an upgrade: from its start, beside the old master, to the moment when it is the only one. */
#ifndef MASTER_TAKEOVER_H
#define MASTER_TAKEOVER_H

#include "common/base.h"

enum takeover_state {
    TAKEOVER_NONE,  /* this is the only master, and owns what is in run_dir */
    TAKEOVER_HELD,  /* cold: no worker may start before the old master says so, or is dead with all its workers */
    TAKEOVER_BEGUN, /* workers start */
    TAKEOVER_READY  /* they serve, and the old master is told */
};

struct takeover {
    enum takeover_state state;
    int wire_fd;       /* -1: there is no old master any more */
    const char *found; /* for "ready" */
};

enum takeover_step {
    TAKEOVER_SAME,
    TAKEOVER_NOW,  /* all is this master's from now on; then takeover_done() */
    TAKEOVER_ALONE /* the old master is dead; told once. Without TAKEOVER_NOW before it, that follows when all serve. */
};

/* cold NULL: it is not. found must live on. */
void takeover_begin(struct takeover *t, int wire_fd, const char *cold, const char *found);
int takeover_fd(const struct takeover *t); /* readable: call takeover_step(); -1: none */
bool takeover_owns(const struct takeover *t);
bool takeover_may_start(const struct takeover *t); /* workers */
void takeover_release(struct takeover *t);         /* the other generation has ended: nobody is left to wait for */
enum takeover_step takeover_step(struct takeover *t, bool all_ready);
void takeover_done(struct takeover *t);
void takeover_failed(struct takeover *t, const char *why); /* tells the old master, if there is one that waits */

#endif
