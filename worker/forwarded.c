#include "worker/forwarded.h"

#include <arpa/inet.h>

/* "10.0.0.1", "::1", and as some write it "[::1]"; canonical. */
static bool read_address(struct slice text, char out[ADDRESS_BYTES])
{
    struct in6_addr address;
    char copy[ADDRESS_BYTES];
    if (text.len >= 2 && text.at[0] == '[' && text.at[text.len - 1] == ']')
        text = slice_of(text.at + 1, text.len - 2);
    if (text.len == 0 || text.len >= sizeof copy)
        return false;
    *(char *)mempcpy(copy, text.at, text.len) = '\0';
    int family = strchr(copy, ':') ? AF_INET6 : AF_INET;
    return inet_pton(family, copy, &address) == 1 && inet_ntop(family, &address, out, ADDRESS_BYTES) != NULL;
}

/* The last element of the list; what is before it stays. */
static struct slice take_last(struct slice *list)
{
    const char *comma = list->len > 0 ? memrchr(list->at, ',', list->len) : NULL;
    const char *at = comma ? comma + 1 : list->at, *end = list->at + list->len;
    *list = slice_of(list->at, comma ? (size_t)(comma - list->at) : 0);
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (end > at && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return slice_of(at, (size_t)(end - at));
}

bool forwarded_trusts(const struct conf_nets *trusted, const char *remote)
{
    return strcmp(remote, LOCAL_ADDRESS) == 0 ? trusted->local : net_has(trusted->at, trusted->count, remote);
}

void forwarded_for(const struct conf_nets *trusted, const struct http_head *head, char remote[ADDRESS_BYTES])
{
    static const struct slice name = {"X-Forwarded-For", 15};
    for (int i = head->field_count - 1; i >= 0; i--) {
        const struct http_field *field = &head->fields[i];
        if (!slice_same(field->name, name))
            continue;
        for (struct slice list = field->value; list.len > 0;) {
            char named[ADDRESS_BYTES];
            if (!forwarded_trusts(trusted, remote) || !read_address(take_last(&list), named))
                return;
            memcpy(remote, named, sizeof named);
        }
    }
}
