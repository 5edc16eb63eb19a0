/* A reload: a forked child checks the new files and prepares their queries (a crash of the parser harms nobody, and the
 * master needs no SQL), then slot by slot a worker of the new generation takes over from the old one. When a new
 * worker does not get ready, the slots that have changed are rolled back. */
#ifndef MASTER_ROLL_H
#define MASTER_ROLL_H

#include "master/stage.h"
#include "master/workers.h"

struct roll;

struct roll_owner {
    void (*ended)(void *arg, const char *err); /* err NULL: the new configuration is in force */
    void (*forget)(void *arg);                 /* in the checking child: closes what is the master's own */
    void *arg;
};

struct roll *roll_create(const char *conf_path, struct workers *workers, struct shared *shared,
                         const struct stage *stage, const struct roll_owner *owner) MUST_USE;
void roll_destroy(struct roll **roll);

/* While one is under way another is remembered, and begins when it ends; both requests end with the second. */
void roll_request(struct roll *roll);
bool roll_is_busy(const struct roll *roll); /* under way, or asked for */
/* perfd ends: whatever is under way is given up. */
void roll_abort(struct roll *roll);
int roll_fd(const struct roll *roll); /* readable: call roll_step(); -1: none */
/* Goes on as far as it can now; the next time by which it wants to be called, or INT64_MAX. */
int64_t roll_step(struct roll *roll, struct generation **current, int64_t now_us);
void roll_child_ended(struct roll *roll, pid_t pid);
/* What a worker that is started for the slot now must run; NULL: it shall have none. */
const struct generation *roll_generation(const struct roll *roll, int slot, const struct generation *current);

#endif
