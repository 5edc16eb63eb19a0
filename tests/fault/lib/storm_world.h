/* What the processes of a storm share; for storm.c, storm_worker.c and storm_flight.c alone. */
#ifndef TESTS_FAULT_STORM_WORLD_H
#define TESTS_FAULT_STORM_WORLD_H

#include "tests/fault/lib/scene.h"
#include "tests/fault/lib/storm.h"

enum storm_count {
#define STORM_COUNT(name, what) COUNT_##name,
#define STORM_MUST STORM_COUNT
#define STORM_ZERO STORM_COUNT
#include "tests/fault/lib/storm.def"
#undef STORM_COUNT
#undef STORM_MUST
#undef STORM_ZERO
    COUNT_COUNT
};

/* Flights have few slots here, and one fragment, so that keys meet in them. */
enum { STORM_KEYS = 1500, STORM_SLOTS = 64, STORM_GENERATIONS = 256, STORM_DATABASE_MS = 2 };
enum { STORM_REQUEST_US = 1000000, STORM_PATIENCE_US = 60000 }; /* of a request; of a waiter, before it takes over */

/* In shared memory. */
struct storm_shared {
    _Atomic uint64_t counts[COUNT_COUNT];
    _Atomic uint64_t version[STORM_KEYS], acknowledged[STORM_KEYS];
    _Atomic uint32_t owned[STORM_SLOTS][STORM_GENERATIONS], fetched[STORM_SLOTS][STORM_GENERATIONS];
    _Atomic int64_t clock_us; /* the master's: it stands still while an audit, or whoever else, has stopped all */
};

struct storm {
    const struct storm_options *options;
    struct scene scene;
    struct storm_shared *shared;
    double zipf[STORM_KEYS]; /* cumulated */
    int row;                 /* this process's */
};

void storm_count(struct storm *storm, enum storm_count what);
/* For deadlines. It goes in steps of some ms. */
int64_t storm_clock_us(const struct storm *storm);
uint64_t storm_random(uint64_t below);
bool storm_chance(int in);
void storm_sleep_us(int64_t us);

/* ---- storm_worker.c ---- */

void storm_work(struct storm *storm); /* for ever */
void storm_keep(struct storm *storm);

struct storm_request {
    int key;
    struct cache_key cache_key;
    struct cache_rules rules;
    uint32_t tags[2];
    uint64_t acknowledged; /* when it began: an older version is wrong */
    int64_t began_us;
    int joins;
    char name[VALUE_KEY_BYTES];
};

/* True: a value that is born_seq's or later is had, and was looked at. */
bool storm_look(struct storm *storm, struct storm_request *r, uint64_t born_seq);
/* What a fetch reads: it begins after its born_seq was read. */
uint64_t storm_read(struct storm *storm, const struct storm_request *r);
bool storm_store(struct storm *storm, const struct storm_request *r, uint64_t version, uint64_t born_seq);

/* ---- storm_flight.c: what a worker does about a miss ---- */

void storm_miss(struct storm *storm, struct storm_request *r);
void storm_refresh(struct storm *storm, struct storm_request *r);

#endif
