/* Where figures come from: the statistics file of an instance, and the one of the perfd that follows there. */
#ifndef MASTER_CTL_SOURCE_H
#define MASTER_CTL_SOURCE_H

#include "master/ctl/ctl.h"

struct source;

/* Called by the handler of SIGBUS before it ends the process, as somebody cut the file: what it calls must be safe in
 * one. NULL: nothing is. */
extern void (*source_at_cut)(void);

/* The folder of an instance, where none is named: the first of the usual ones that has one; NULL: none. */
const char *source_find_dir(void);
/* Fills *dir with it where none is named. False: there is none, as was said on stderr. */
bool source_know_dir(const char **dir) MUST_USE;
/* It says on stderr why not, and whether these are a dead one's figures. */
enum ctl_exit source_open(const char *dir, struct source **source_out) MUST_USE;
void source_close(struct source **source);

/* The file that is there now; one that has another perfd's is opened in the place of the old one, whose view is void.
 * It stays the old one, and not running, while there is none. */
struct stats_view *source_view(struct source *source);
bool source_is_running(const struct source *source); /* its master, as of now */
/* All figures now; of a perfd that does not run, as of its last heartbeat. The caller destroys it. */
struct snapshot *source_take(struct source *source) MUST_USE;
void source_wait(int64_t us); /* between two of them */

#endif
