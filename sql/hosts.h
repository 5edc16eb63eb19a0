/* A connection string's hosts as libpq wants them when their names were resolved elsewhere: `hostaddr` beside `host`,
 * one to one, so that a name with three addresses is three hosts, tried in turn. */
#ifndef SQL_HOSTS_H
#define SQL_HOSTS_H

#include "common/buf.h"

/* The hosts, with commas, for the caller to free; NULL when none is a name or the string has addresses of its own. */
char *hosts_names(const char *conninfo) MUST_USE;

struct hosts {
    struct buf host, hostaddr, port; /* NUL-terminated */
};

/* addresses: what resolve_take() gave for hosts_names(conninfo). */
struct hosts hosts_expand(const char *conninfo, const char *addresses);
void hosts_deinit(struct hosts *hosts);

#endif
