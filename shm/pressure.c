#include "shm/pressure.h"

#include <stdatomic.h>

const char *const memory_level_names[MEMORY_LEVELS] = {"calm", "alert", "shrink", "shed"};

struct pressure {
    _Atomic int level;
};

size_t pressure_bytes(void)
{
    return sizeof(struct pressure);
}

void pressure_set(struct pressure *pressure, enum memory_level level)
{
    pressure->level = (int)level;
}

enum memory_level pressure_level(const struct pressure *pressure)
{
    return (enum memory_level)atomic_load_explicit(&pressure->level, memory_order_relaxed);
}
