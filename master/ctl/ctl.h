/* What the commands of perfctl share. A command is one file and one row of commands.def; it gets the options and
 * returns the exit status. Figures come from the statistics file alone, so that they can be had of a perfd that hangs.
 */
#ifndef MASTER_CTL_CTL_H
#define MASTER_CTL_CTL_H

#include "shm/stats.h"

#include <cjson/cJSON.h>

enum ctl_exit { CTL_OK = 0, CTL_FAILED = 1, CTL_NOT_RUNNING = 3, CTL_USAGE = 64 };

struct ctl {
    const char *command;
    const char *dir; /* run_dir of the instance */
    bool json;
    char *const *args; /* of commands that take some */
    int arg_count;
    const char *conf, *url; /* instead of those of the instance; NULL: none is named */
    bool analyze;
    bool file;           /* config: of the files, not of the master */
    struct stats *stats; /* of commands that need FIGURES */
    bool running;        /* the master of these figures lives; else they are its last */
    int64_t now_us;      /* wall clock; of the last heartbeat when perfd is not running */
};

#define COMMAND(name, needs, args, help) enum ctl_exit command_##name(const struct ctl *ctl);
#include "master/ctl/commands.def"
#undef COMMAND

/* The beginning of a document, "schema": "perfctl.COMMAND/1" and whose figures these are; what ends and prints it. */
cJSON *document_create(const struct ctl *ctl);
enum ctl_exit document_print(cJSON **document);
/* An exact integer: cJSON's numbers are doubles and print large ones as 1.7e+15. */
void document_int(cJSON *object, const char *name, int64_t value);
void document_ratio(cJSON *object, const char *name, int64_t part, int64_t whole); /* null when whole is 0 */
/* count, p50_us, p95_us, p99_us and max_us; null when h is empty. */
void document_histogram(cJSON *object, const struct histogram *h);

#endif
