#include "sql/prepared.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct prepared_entry {
    uint32_t id;
    uint32_t generation; /* in which it was prepared */
};

void prepared_deinit(struct prepared *p)
{
    free(p->at);
    *p = (struct prepared){0};
}

/* Index of id, or of the place where it belongs. */
static int find(const struct prepared *p, uint32_t id)
{
    int low = 0, high = p->count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (p->at[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool prepared_has(const struct prepared *p, uint32_t id)
{
    int i = find(p, id);
    return i < p->count && p->at[i].id == id && p->at[i].generation == p->generation;
}

void prepared_set(struct prepared *p, uint32_t id)
{
    int i = find(p, id);
    if (i == p->count || p->at[i].id != id) {
        if (p->count == p->cap) {
            p->cap = p->cap ? 2 * p->cap : 16;
            p->at = xrealloc(p->at, (size_t)p->cap * sizeof *p->at);
        }
        memmove(&p->at[i + 1], &p->at[i], (size_t)(p->count - i) * sizeof *p->at);
        p->count++;
    }
    p->at[i] = (struct prepared_entry){id, p->generation};
}

void prepared_unset(struct prepared *p, uint32_t id)
{
    if (prepared_has(p, id))
        p->at[find(p, id)].generation--;
}

void prepared_forget_all(struct prepared *p)
{
    p->generation++;
}

const char *prepared_name(const struct prepared *p, uint32_t id, char name[PREPARED_NAME_MAX])
{
    snprintf(name, PREPARED_NAME_MAX, "perfd_%u_%u", id, p->generation);
    return name;
}
