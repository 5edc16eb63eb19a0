#include "sql/hosts.h"
#include "common/resolve.h"

#include <libpq-fe.h>
#include <stdlib.h>

/* A keyword's value, for the caller to free; NULL: not given. */
static char *value_of(const char *conninfo, const char *keyword)
{
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    char *value = NULL;
    for (PQconninfoOption *o = options; o && o->keyword; o++)
        if (o->val && strcmp(o->keyword, keyword) == 0)
            value = xstrdup(o->val);
    PQconninfoFree(options);
    return value;
}

char *hosts_names(const char *conninfo)
{
    char *hosts = value_of(conninfo, "host"), *given = value_of(conninfo, "hostaddr");
    char *copy = hosts ? xstrdup(hosts) : NULL, *at = copy, *host;
    bool named = false;
    while (copy != NULL && (host = strsep(&at, ",")) != NULL)
        named |= resolve_is_name(host);
    free(copy);
    if (!named || given != NULL) {
        free(hosts);
        hosts = NULL;
    }
    free(given);
    return hosts;
}

static void add(struct buf *list, bool first, const char *item)
{
    if (!first)
        buf_addc(list, ',');
    buf_adds(list, item ? item : "");
}

struct hosts hosts_expand(const char *conninfo, const char *addresses)
{
    struct hosts out = {0};
    char *hosts = value_of(conninfo, "host"), *ports = value_of(conninfo, "port"), *all = xstrdup(addresses);
    char *host_at = hosts, *port_at = ports, *all_at = all, *host, *address, *own;
    /* One port stands for all hosts. */
    bool one_port = ports == NULL || strchr(ports, ',') == NULL;
    bool first = true;
    while ((host = strsep(&host_at, ",")) != NULL) {
        char *port = one_port ? ports : strsep(&port_at, ",");
        own = strsep(&all_at, ",");
        while ((address = strsep(&own, " ")) != NULL) {
            add(&out.host, first, host);
            add(&out.hostaddr, first, address);
            add(&out.port, first, port);
            first = false;
        }
    }
    buf_addc(&out.host, '\0');
    buf_addc(&out.hostaddr, '\0');
    buf_addc(&out.port, '\0');
    free(hosts);
    free(ports);
    free(all);
    return out;
}

void hosts_deinit(struct hosts *hosts)
{
    buf_deinit(&hosts->host);
    buf_deinit(&hosts->hostaddr);
    buf_deinit(&hosts->port);
}
