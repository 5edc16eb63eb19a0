/* Names to addresses without blocking a loop: getaddrinfo() runs in a few threads of its own, and what
 * finds them all at work waits. */
#ifndef COMMON_RESOLVE_H
#define COMMON_RESOLVE_H

#include "common/base.h"

struct resolve;

bool resolve_is_name(const char *host); /* neither an address nor a path of a unix socket */

/* hosts are separated by commas. *fd_out becomes readable when the answer is there. NULL: no thread or descriptor. */
struct resolve *resolve_start(const char *hosts, int *fd_out) MUST_USE;
/* After fd_out became readable: numeric addresses with blanks between them, those of each host behind a comma, for the
 * caller to free; none where a name is not known, or for the path of a unix socket. NULL with *error_out (static text)
 * when no host is any good. */
char *resolve_take(struct resolve *resolve, const char **error_out) MUST_USE;
/* At any time; the thread ends by itself. */
void resolve_destroy(struct resolve **resolve);

#endif
