/* Whether this libevent serves HTTP over unix sockets: some builds end the process at the first connection. */
#ifndef WORKER_HTTP_LOCAL_H
#define WORKER_HTTP_LOCAL_H

#include "common/err.h"

/* Tries it, in a process of its own, with a socket that nobody else can reach. Takes a few milliseconds. */
bool http_local_works(struct err *err) MUST_USE;

#endif
