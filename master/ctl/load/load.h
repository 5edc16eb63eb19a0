/* A load on an HTTP server, from one loop of one process. With a plan of users each of them asks, waits for the answer,
 * thinks and asks again; its latency counts from when it asks. With a plan of arrivals a request is due when it is due,
 * whatever became of those before: its latency counts from then, also where the server or the connections held it up.
 */
#ifndef CTL_LOAD_LOAD_H
#define CTL_LOAD_LOAD_H

#include "master/ctl/load/meter.h"
#include "master/ctl/load/scenario.h"

struct load;

struct load_options {
    const struct scenario *scenario;
    uint64_t seed;
    int connections; /* at most, of a plan of arrivals; users have one each */
    /* Each progress_us; NULL: never. */
    void (*progress)(void *arg, const struct load *load, int64_t now_us);
    void *progress_arg;
    int64_t progress_us;
};

struct load_result {
    struct tally total, *requests; /* by the scenario's order */
    int64_t span_us;               /* up to the plan's end, or the last answer behind it */
    int64_t opened, again;         /* connections, and those of them that took the place of closed ones */
    int connections;               /* at most at a time */
    int64_t waited;                /* arrivals that found no connection free, the unsent ones among them */
    int64_t under_way;             /* that were when it was interrupted; they are in no figure */
    bool interrupted;
    struct meter meter;
};

/* Returns when all are answered or have failed, or at SIGINT or SIGTERM. False: it could not begin; nothing is to be
 * deinitialized. */
bool load_run(const struct load_options *options, struct load_result *out, struct err *err) MUST_USE;
void load_result_deinit(struct load_result *result);

/* For progress: what was since the last one, and how many there are of what sends: users, or connections for arrivals.
 */
struct load_pace {
    int64_t at_us, length_us;
    int64_t requests; /* since the start */
    const struct tally *since;
    int64_t since_us; /* that `since` took */
    enum plan_kind kind;
    int senders, under_way;
};
struct load_pace load_pace(const struct load *load, int64_t now_us);

#endif
