/* The sockets that workers accept on: one SO_REUSEPORT socket a slot and address, bound before the first fork and kept
 * by the master, so that a worker's end resets nothing that is queued on it. A unix socket is one for all slots. */
#ifndef MASTER_LISTENER_H
#define MASTER_LISTENER_H

#include "common/conf.h"

struct listeners {
    int slots, count; /* addresses */
    int *fds;         /* fds[slot * count + i], non-blocking */
    char **paths;     /* paths[i]: of a unix socket that was made here, else NULL */
};

/* An address in use is an error that names it, though SO_REUSEPORT would let two perfd share it. A host without IPv6
 * skips v6 addresses with a warning; that none is left is an error. */
bool listeners_open(struct listeners *listeners, const struct conf_listens *addresses, int slots,
                    struct err *err) MUST_USE;
void listeners_close(struct listeners *listeners);

#endif
