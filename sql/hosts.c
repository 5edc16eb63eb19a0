#include "sql/hosts.h"
#include "common/resolve.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

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

/* Of a list with commas; 0: there is none. */
static int count_items(const char *list)
{
    int count = list != NULL && *list != '\0';
    for (const char *at = list; count > 0 && *at != '\0'; at++)
        count += *at == ',';
    return count;
}

/* As libpq counts: a host has a name, an address, or both. 0: the lists do not fit each other. */
static int count_hosts(const struct hosts *h)
{
    int names = count_items(h->names), addresses = count_items(h->addresses), ports = count_items(h->ports);
    int count = MAX(names, addresses);
    bool fit = (names == 0 || addresses == 0 || names == addresses) && (ports <= 1 || ports == count);
    return fit ? count : 0;
}

static const char *next_item(char **at)
{
    const char *item = strsep(at, ",");
    return item ? item : "";
}

static void add(struct hosts *h, const char *name, const char *address, const char *port, int index)
{
    if ((h->count & (h->count - 1)) == 0) /* full at each power of two */
        h->at = xrealloc(h->at, (size_t)MAX(2 * h->count, 1) * sizeof *h->at);
    h->at[h->count++] = (struct host){name, address, port, index};
}

struct hosts hosts_list(const char *conninfo, const char *addresses, int only)
{
    struct hosts h = {.names = value_of(conninfo, "host"), .ports = value_of(conninfo, "port")};
    h.addresses = addresses ? xstrdup(addresses) : value_of(conninfo, "hostaddr");
    int count = count_hosts(&h), one_port = count_items(h.ports) <= 1;
    char *name_at = h.names, *address_at = h.addresses, *port_at = one_port ? NULL : h.ports;
    for (int i = 0; i < count; i++) {
        const char *name = next_item(&name_at), *port = one_port ? (h.ports ? h.ports : "") : next_item(&port_at);
        char *own = strsep(&address_at, ",");
        if ((only >= 0 && i != only) || (addresses && resolve_is_name(name) && (own == NULL || *own == '\0')))
            continue;
        do
            add(&h, name, own ? strsep(&own, " ") : "", port, i);
        while (own != NULL);
    }
    return h;
}

void hosts_deinit(struct hosts *hosts)
{
    free(hosts->at);
    free(hosts->names);
    free(hosts->addresses);
    free(hosts->ports);
    *hosts = (struct hosts){0};
}

int hosts_count(const char *conninfo)
{
    struct hosts h = {.names = value_of(conninfo, "host"),
                      .addresses = value_of(conninfo, "hostaddr"),
                      .ports = value_of(conninfo, "port")};
    int count = count_hosts(&h);
    hosts_deinit(&h);
    return MAX(count, 1);
}

enum hosts_role hosts_role(const char *conninfo)
{
    static const struct {
        const char *attrs;
        enum hosts_role role;
    } roles[] = {
        {"any", HOSTS_ANY},         {"prefer-standby", HOSTS_ANY}, {"read-write", HOSTS_PRIMARY},
        {"primary", HOSTS_PRIMARY}, {"read-only", HOSTS_STANDBY},  {"standby", HOSTS_STANDBY},
    };
    char *attrs = value_of(conninfo, "target_session_attrs");
    enum hosts_role role = HOSTS_UNSAID;
    for (size_t i = 0; i < ARRAY_LEN(roles); i++)
        if (attrs != NULL && strcmp(attrs, roles[i].attrs) == 0)
            role = roles[i].role;
    free(attrs);
    return role;
}
