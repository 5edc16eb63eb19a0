/* The master between an older one and a newer one: what it takes over at its start, and what it does when another is to
 * take its place (takeover.h, upgrade.h and kin.h are what it is made of). */
#ifndef MASTER_SUCCESSION_H
#define MASTER_SUCCESSION_H

#include "master/master_state.h"

#include <poll.h>

/* At the start, in this order. Without an old master they make what a new perfd needs. */
bool succession_read(struct master *m, struct err *err) MUST_USE; /* what was handed over */
bool succession_lock(struct master *m, const struct conf *conf, struct err *err) MUST_USE;
bool succession_share(struct master *m, const struct conf *conf, struct err *err) MUST_USE; /* memory, keys, pipes */
/* When the workers can be started. forget: upgrade_owner's. */
void succession_begin(struct master *m, const char *conf_path, void (*forget)(void *arg));

/* Whether run_dir and the names of sockets are this master's to change and remove. */
bool succession_owns(const struct master *m);

/* Workers of the other master begin to drain without telling this one. */
#define OTHERS_LOOK_US (10 * US_PER_MS)

enum { SUCCESSION_FDS = 3 };
int succession_poll(const struct master *m, struct pollfd fds[static SUCCESSION_FDS]); /* how many */
/* Goes on as far as it can; the next time that something is due, or INT64_MAX. */
int64_t succession_step(struct master *m, int64_t now_us);

void succession_upgrade(struct master *m); /* SIGUSR2 */
/* Why no reload may begin now; NULL: it may. */
const char *succession_forbids(const struct master *m);
void succession_child_ended(struct master *m, pid_t pid, int status);
void succession_abort(struct master *m, int sig);
void succession_failed(struct master *m, const char *why); /* at the start */
void succession_forget(const struct master *m);            /* in a child */
void succession_end(struct master *m);

#endif
