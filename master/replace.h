/* A worker gives way to a fresh one of the same configuration: the new one first, and when that is ready the old one
 * drains. One at a time, and none while a reload rolls. */
#ifndef MASTER_REPLACE_H
#define MASTER_REPLACE_H

#include "master/workers.h"

/* False: another one is under way, or a reload, or the slot has no worker, or no process can be started. */
bool workers_replace(struct workers *workers, int slot, const struct generation *generation, int64_t now_us);
bool workers_replaces(const struct workers *workers); /* one is under way */
/* Goes on; the next time that it wants to be called, or INT64_MAX. */
int64_t workers_replace_step(struct workers *workers, int64_t now_us);
/* Nothing is replaced until workers_roll_ends(): what is under way is given up. */
void workers_roll_begins(struct workers *workers);
void workers_roll_ends(struct workers *workers); /* a keeper that died is started now */
/* That of the slot, or any with -1, is given up. */
void workers_replace_stops(struct workers *workers, int slot, const char *why);

#endif
