/* What the processes may do. A perfd that was started as root has a master that stays root, since the sockets of one
 * address belong to one user and more of them may be needed later; all other processes become conf->user. Nobody gets
 * more rights by executing a program. */
#ifndef MASTER_PRIVILEGES_H
#define MASTER_PRIVILEGES_H

#include "common/conf.h"

#include <sys/types.h>

/* The master, once, before the first fork: as many descriptors as it may have, and the last to go where memory is
 * short. What is out of its reach is told in one warning. */
void privileges_of_master(const struct conf *conf);

/* A worker or the keeper, right after the fork: the first to go where memory is short, its core limit, its user, and
 * what privileges_end_with() says. Ends the process when the master is gone already. */
bool privileges_of_child(const struct conf *conf, pid_t master, int sig, struct err *err) MUST_USE;

bool privileges_differ(const struct conf *conf); /* workers are somebody else than this process */
/* Becomes their user, for good. True, too, where that is nobody else. */
bool privileges_drop(const struct conf *conf, struct err *err) MUST_USE;
/* The process gets sig when its parent, the master, dies. To be said again after privileges_drop(). */
void privileges_end_with(pid_t master, int sig);

#endif
