/* Listening sockets that the perfd before this one hands over: each is found by the address that it is bound to. */
#ifndef MASTER_INHERITED_H
#define MASTER_INHERITED_H

#include "common/err.h"

#include <sys/socket.h>

struct inherited {
    int *fds;     /* -1: taken */
    bool *passed; /* fds[i] is the service manager's (passed.h) */
    int count;
};

void inherited_add(struct inherited *inherited, int fd, bool passed);
/* One that is bound to the address: the caller's from now on. -1: there is none, or no more. */
int inherited_take(struct inherited *inherited, const struct sockaddr *address, socklen_t len, bool *passed_out);
bool inherited_has_port(const struct inherited *inherited, int port); /* one that nobody took */
/* Closes what nobody took. */
void inherited_close(struct inherited *inherited);

#endif
