/* Sockets that the service manager bound and passed when it started perfd (sd_listen_fds(3)): the addresses of the
 * configuration are looked for among them before they are bound. The manager keeps its own copy, so that who connects
 * while no perfd runs waits for the next. */
#ifndef MASTER_PASSED_H
#define MASTER_PASSED_H

#include "common/conf.h"

/* Once, first of all. Takes the variables that told of them out of the environment. */
void passed_take(void);

/* A copy of the socket of this address, *fd_out, -1 where none was passed. False with err: it is no good for that. */
bool passed_find(const struct conf_listen *at, int *fd_out, struct err *err) MUST_USE;
/* Warns of those that passed_find() was never asked for: who connects there waits for ever. */
void passed_warn(void);

#endif
