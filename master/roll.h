/* A reload: a forked child checks the new files and prepares their queries (a crash of the parser harms nobody, and the
 * master needs no SQL), then slot by slot a worker of the new generation takes over from the old one. Whatever goes
 * wrong before the first slot changed changes nothing. */
#ifndef MASTER_ROLL_H
#define MASTER_ROLL_H

#include "master/generation.h"
#include "master/workers.h"

struct roll;

/* err is NULL when the new configuration is in force. */
typedef void roll_ended(void *arg, const char *err);

struct roll *roll_create(const char *conf_path, struct workers *workers, struct shared *shared, int slots,
                         roll_ended *ended, void *arg) MUST_USE;
void roll_destroy(struct roll **roll);

/* While one is under way another is remembered, and begins when it ends; both requests end with the second. */
void roll_request(struct roll *roll);
int roll_fd(const struct roll *roll); /* readable: call roll_step(); -1: none */
/* Goes on as far as it can now; the next time by which it wants to be called, or INT64_MAX. */
int64_t roll_step(struct roll *roll, struct generation **current, int64_t now_us);
void roll_child_ended(struct roll *roll, pid_t pid);

#endif
