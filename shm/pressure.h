/* How short memory is, in one word that the master writes and every worker reads where a miss begins. */
#ifndef SHM_PRESSURE_H
#define SHM_PRESSURE_H

#include "common/base.h"

enum memory_level {
    MEMORY_CALM,
    MEMORY_ALERT,  /* over the configuration's alert: said, nothing else */
    MEMORY_SHRINK, /* over shed: the cache gives memory back */
    MEMORY_SHED,   /* and that did not do: misses are refused */
    MEMORY_LEVELS
};
extern const char *const memory_level_names[MEMORY_LEVELS];

struct pressure;

size_t pressure_bytes(void); /* of the control segment; zeroed, all is calm */
void pressure_set(struct pressure *pressure, enum memory_level level);
enum memory_level pressure_level(const struct pressure *pressure);

#endif
