#include "sql/prepared.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct prepared_entry {
    bool set;
    uint32_t generation; /* in which it was prepared */
    char name[PREPARED_NAME_MAX];
};

void prepared_deinit(struct prepared *p)
{
    free(p->at);
    *p = (struct prepared){0};
}

bool prepared_has(const struct prepared *p, uint32_t id)
{
    return id < p->count && p->at[id].set && p->at[id].generation == p->generation;
}

static void make_room(struct prepared *p, uint32_t id)
{
    uint32_t count = MAX(id + 1, 2 * p->count);
    p->at = xrealloc(p->at, count * sizeof *p->at);
    memset(p->at + p->count, 0, (count - p->count) * sizeof *p->at);
    p->count = count;
}

const char *prepared_set(struct prepared *p, uint32_t id)
{
    if (id >= p->count)
        make_room(p, id);
    struct prepared_entry *entry = &p->at[id];
    entry->set = true;
    entry->generation = p->generation;
    snprintf(entry->name, sizeof entry->name, "perfd_%u_%u", id, p->generation);
    return entry->name;
}

void prepared_unset(struct prepared *p, uint32_t id)
{
    if (prepared_has(p, id))
        p->at[id].set = false;
}

void prepared_forget_all(struct prepared *p)
{
    p->generation++;
}

const char *prepared_name(const struct prepared *p, uint32_t id)
{
    CHECK(prepared_has(p, id));
    return p->at[id].name;
}
