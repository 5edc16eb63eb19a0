/* What the commands of perfctl share. A command is a row of commands.def and a file; it gets its words and options and
 * returns the exit status. Figures come from the statistics file alone, so that they can be had of a perfd that hangs.
 */
#ifndef MASTER_CTL_CTL_H
#define MASTER_CTL_CTL_H

#include "shm/snapshot.h"

#include <cjson/cJSON.h>

enum ctl_exit { CTL_OK = 0, CTL_FAILED = 1, CTL_CRITICAL = 2, CTL_NOT_RUNNING = 3, CTL_USAGE = 64, CTL_THRESHOLD = 99 };
enum ctl_output { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_CSV, OUTPUT_PROM };
enum ctl_needs { FIGURES, FILE_ONLY, MASTER, NOTHING };

enum ctl_option {
#define OPTION(name, value, commands, help) OPTION_##name,
#include "master/ctl/options.def"
#undef OPTION
    OPTION_COUNT
};
enum { CTL_VALUES_MAX = 32 };

struct conf;
struct source;

struct ctl {
    const char *command;
    const char *dir; /* run_dir of the instance; NULL: none is named or found */
    enum ctl_output output;
    char *const *args; /* what stands behind the command */
    int arg_count;
    struct {
        const char *values[CTL_VALUES_MAX];
        int count;
    } options[OPTION_COUNT];
    struct source *source;          /* of commands that need FIGURES or the FILE */
    struct stats_view *view;        /* of them, too; lives until the source is asked again */
    const struct snapshot *figures; /* of them, too */
    bool running;                   /* the master of these figures lives; else they are its last */
    int64_t now_us;                 /* wall clock; of the last heartbeat when perfd is not running */
};

#define COMMAND(name, needs, args, help) enum ctl_exit command_##name(const struct ctl *ctl);
#include "master/ctl/commands.def"
#undef COMMAND

/* The last value of an option, "" of one that takes none; NULL: it is not given. */
const char *ctl_value(const struct ctl *ctl, enum ctl_option option);
/* Its duration, or otherwise_us. False: it is none, as was said on stderr. */
bool ctl_duration(const struct ctl *ctl, enum ctl_option option, int64_t otherwise_us, int64_t *us_out) MUST_USE;
/* Its number, from least to most, or otherwise. False: it is none, as was said on stderr. */
bool ctl_number(const struct ctl *ctl, enum ctl_option option, double least, double most, double otherwise,
                double *number_out) MUST_USE;
bool ctl_whole(const struct ctl *ctl, enum ctl_option option, int64_t least, int64_t most, int64_t otherwise,
               int64_t *number_out) MUST_USE; /* likewise, without a fraction */
/* The configuration that --conf names, else the one that perfd was started with, as it is now; view NULL: there is
 * none. NULL: it cannot be read, as was said on stderr. */
struct conf *ctl_conf(const struct ctl *ctl, const struct stats_view *view) MUST_USE;
/* The same; err says why, and nothing is said. */
struct conf *ctl_conf_load(const struct ctl *ctl, const struct stats_view *view, struct err *err) MUST_USE;
/* A ring of the file; NULL: it has none that this perfctl knows, as was said on stderr. */
const struct ring *ctl_ring(const struct ctl *ctl, enum stats_section section);
/* "perfctl: COMMAND: what: which" to stderr; which may be "". CTL_FAILED. */
enum ctl_exit ctl_fail(const struct ctl *ctl, const char *what, const char *which);
enum ctl_exit ctl_wrong_usage(const char *what, const char *which);

/* The beginning of a document, "schema": "perfctl.COMMAND/1" and, where there are any, whose figures these are; what
 * ends and prints it, as JSON or as CSV: the rows of its first list of objects, or its names and values, where the
 * names of what stands in others are parted by a dot. */
cJSON *document_create(const struct ctl *ctl);
enum ctl_exit document_print(const struct ctl *ctl, cJSON **document);
/* What stats and routes print of figures, for who prints both: into a document, or as tables. */
void stats_put(cJSON *document, const struct snapshot *s);
bool stats_is_of_one_process(const char *metric); /* over all it stands in the document, but helps no reader */
void stats_print(const struct snapshot *s);
void routes_put(cJSON *document, const struct snapshot *s);
void routes_print(const struct snapshot *s);
/* A field of CSV, quoted where it must be. */
void document_csv_field(const char *text);
/* A new object at the end of a list. */
cJSON *document_row(cJSON *list);
void document_text(cJSON *object, const char *name, const char *text); /* null when text is NULL */
/* The slot's figure, or that over all slots; nothing where the file does not have it. */
enum { DOCUMENT_ALL_SLOTS = STATS_KEEPER - 1 };
void document_metric(cJSON *object, const char *name, const struct snapshot *s, int slot, enum metric stat);
/* An exact integer: cJSON's numbers are doubles and print large ones as 1.7e+15. */
void document_int(cJSON *object, const char *name, int64_t value);
void document_ratio(cJSON *object, const char *name, int64_t part, int64_t whole); /* null when whole is 0 */
/* count, p50_us, p95_us, p99_us, p999_us and max_us; null when h is empty. */
void document_histogram(cJSON *object, const struct histogram *h);

#endif
