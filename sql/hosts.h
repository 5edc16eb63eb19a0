/* A connection string's hosts one by one, with the addresses that their names were resolved to elsewhere: libpq would
 * block for a name, and its non-blocking connect hangs with the first host that does not answer. */
#ifndef SQL_HOSTS_H
#define SQL_HOSTS_H

#include "common/base.h"

/* The hosts, with commas, for the caller to free; NULL when none is a name or the string has addresses of its own. */
char *hosts_names(const char *conninfo) MUST_USE;

struct host {
    const char *name, *address, *port; /* libpq's host, hostaddr and port; "" where there is none */
    int index;                         /* in the string */
};

struct hosts {
    struct host *at;
    int count; /* 0: the string names no host, or what libpq shall refuse in its own words */
    char *names, *addresses, *ports;
};

/* addresses: what resolve_take() gave for hosts_names(conninfo), or NULL. A name with three addresses is three hosts,
 * one without any is left out. only: the string's only-th host; -1: all. */
struct hosts hosts_list(const char *conninfo, const char *addresses, int only);
void hosts_deinit(struct hosts *hosts);

int hosts_count(const char *conninfo); /* in the string; 1 where it names none */

/* What the string's target_session_attrs asks of its hosts. perfd's sessions are read-only by default, which libpq
 * would take for what read-write and read-only ask. */
enum hosts_role { HOSTS_ANY, HOSTS_PRIMARY, HOSTS_STANDBY, HOSTS_UNSAID };
enum hosts_role hosts_role(const char *conninfo);

#endif
