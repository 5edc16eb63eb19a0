#include "shm/owners.h"

#include <stdatomic.h>

struct owners {
    _Atomic int rows[WORKERS_MAX]; /* from 1; 0: nobody */
};

size_t owners_bytes(void)
{
    return sizeof(struct owners);
}

void owners_set(struct owners *owners, int slot, int proc)
{
    CHECK(slot >= 0 && slot < WORKERS_MAX);
    owners->rows[slot] = proc + 1;
}

int owners_get(const struct owners *owners, int slot)
{
    CHECK(slot >= 0 && slot < WORKERS_MAX);
    return owners->rows[slot] - 1;
}
