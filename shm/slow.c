#include "shm/slow.h"

#include <string.h>

static const struct ring_shape shape = {SLOW_ENTRIES, sizeof(struct slow_query)};

size_t slow_bytes(void)
{
    return ring_bytes(shape);
}

uint64_t slow_add(struct ring *slow, int proc, const struct slow_query *query)
{
    return ring_add(slow, shape, proc, query);
}

void slow_reap(struct ring *slow, int proc)
{
    ring_reap(slow, shape, proc);
}

/* The file may be another program's by mistake: whatever stands in it, what is handed out has its ends. */
static void bound(struct slow_query *query)
{
    query->route[SLOW_ROUTE_BYTES - 1] = query->state[sizeof query->state - 1] = '\0';
    query->params[SLOW_PARAMS_BYTES - 1] = '\0';
    query->params_bytes = MIN(query->params_bytes, (uint32_t)SLOW_PARAMS_BYTES);
}

int slow_read(const struct ring *slow, struct slow_query out[static SLOW_ENTRIES])
{
    int count = ring_read(slow, shape, out);
    for (int i = 0; i < count; i++)
        bound(&out[i]);
    return count;
}

/* ---- parameters ---- */

bool slow_param_add(struct slow_query *query, const char *value)
{
    size_t bytes = 1 + (value != NULL ? strlen(value) + 1 : 0);
    if (bytes > SLOW_PARAMS_BYTES - query->params_bytes)
        return false;
    char *at = query->params + query->params_bytes;
    *at = value != NULL ? 'v' : 'n';
    memcpy(at + 1, value != NULL ? value : "", bytes - 1);
    query->params_bytes += (uint32_t)bytes;
    return true;
}

int slow_params(const struct slow_query *query, const char **values_out, int most)
{
    const char *at = query->params, *end = query->params + query->params_bytes;
    int count = 0;
    for (; at < end && count < most; count++) {
        bool null = *at++ == 'n';
        values_out[count] = null ? NULL : at;
        if (!null && memchr(at, '\0', (size_t)(end - at)) == NULL)
            break;
        at += null ? 0 : strlen(at) + 1;
    }
    return count;
}
