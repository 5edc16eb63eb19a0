#include "common/conf.h"
#include "master/ctl/log/print.h"
#include "master/ctl/log/query.h"
#include "master/ctl/log/reader.h"
#include "master/ctl/log/summary.h"
#include "master/ctl/source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* What is made of the lines of all files. */
struct hunt {
    const struct ctl *ctl;
    const struct log_query *query;
    struct arena *arena;     /* of a line */
    struct summary *summary; /* NULL: none is wanted */
    bool counts, follows;
    int64_t found;
    int64_t number, damaged, first_damaged; /* of a file's lines; the second of all files */
    int64_t damaged_here;
};

/* ---- lines ---- */

static void take(struct hunt *h, const struct line *line)
{
    h->found++;
    if (h->summary != NULL)
        summary_add(h->summary, line);
    else if (!h->counts)
        print_line(h->ctl, line, h->found == 1, h->follows);
}

/* No more is read when nobody takes it. */
static bool on_line(void *arg, struct slice raw)
{
    struct hunt *h = arg;
    struct line line;
    h->number++;
    if (raw.at == NULL || !line_read(raw, h->arena, &line)) {
        h->first_damaged = h->damaged_here++ == 0 ? h->number : h->first_damaged;
        h->damaged++;
    } else if (log_query_matches(h->query, &line)) {
        take(h, &line);
    }
    arena_reset(h->arena);
    return !ferror(stdout);
}

static void on_pause(void *arg)
{
    (void)arg;
    fflush(stdout);
}

static void tell_damage(const struct hunt *h, const char *path)
{
    if (h->damaged_here > 0)
        fprintf(stderr,
                "perfctl: log: %s: %" PRId64 " of %" PRId64 " lines are damaged, line %" PRId64 " is the first\n", path,
                h->damaged_here, h->number, h->first_damaged);
}

static bool read_file(struct hunt *h, const char *path)
{
    struct err err;
    h->number = h->damaged_here = 0;
    bool ok = h->follows ? reader_follow(path, on_line, on_pause, h, &err) : reader_read(path, on_line, h, &err);
    tell_damage(h, path);
    if (!ok)
        (void)ctl_fail(h->ctl, err.text, "");
    return ok;
}

/* ---- what it ends with ---- */

static enum ctl_exit print_count(const struct hunt *h)
{
    if (h->ctl->output == OUTPUT_TABLE) {
        printf("%" PRId64 "\n", h->found);
        return CTL_OK;
    }
    cJSON *document = document_create(h->ctl);
    document_int(document, "count", h->found);
    document_int(document, "damaged", h->damaged);
    return document_print(h->ctl, &document);
}

static void end(struct hunt *h)
{
    if (h->summary != NULL)
        (void)summary_print(h->summary, h->ctl);
    else if (h->counts)
        (void)print_count(h);
    else
        print_end(h->ctl, h->follows, h->found, h->damaged);
}

static enum ctl_exit hunt(struct hunt *h, char *const *paths, int count)
{
    bool ok = true;
    if (h->summary == NULL && !h->counts)
        print_begin(h->ctl, h->follows);
    for (int i = 0; i < count; i++)
        ok &= read_file(h, paths[i]);
    end(h);
    return ok ? CTL_OK : CTL_FAILED;
}

/* ---- the command line ---- */

static enum ctl_exit refuse_query(const char *text, const struct query_error *error)
{
    fprintf(stderr, "perfctl: log: %s\n  %s\n  %*s^\n", error->what, text, (int)error->offset, "");
    return CTL_USAGE;
}

static enum ctl_exit check_log(const struct ctl *ctl, const struct conf *conf)
{
    if (strcmp(conf->access_log, "off") == 0)
        return ctl_fail(ctl, "this perfd writes no access log (access_log off)", "");
    if (strcmp(conf->access_log, "stderr") == 0)
        return ctl_fail(ctl, "this perfd's access log is its stderr; name the file where that goes", "");
    if (conf->access_log_format != ACCESS_LOG_JSON)
        return ctl_fail(ctl, "this perfd's access log is in the combined format; only JSON is read", "");
    return CTL_OK;
}

/* The log of the instance, from its configuration. */
static enum ctl_exit hunt_own(struct hunt *h, const struct stats_view *view)
{
    struct conf *conf = ctl_conf(h->ctl, view);
    if (conf == NULL)
        return CTL_FAILED;
    char *path = xstrdup(conf->access_log);
    enum ctl_exit code = check_log(h->ctl, conf);
    conf_destroy(&conf);
    if (code == CTL_OK)
        code = hunt(h, &path, 1);
    free(path);
    return code;
}

static enum ctl_exit hunt_instance(struct hunt *h)
{
    const char *dir = h->ctl->dir != NULL ? h->ctl->dir : source_find_dir();
    struct source *source;
    if (ctl_value(h->ctl, OPTION_conf) != NULL)
        return hunt_own(h, NULL);
    if (dir == NULL)
        return ctl_wrong_usage("no perfd was found (see --dir), and no FILE is named", "");
    enum ctl_exit code = source_open(dir, &source);
    if (code != CTL_OK)
        return code;
    code = hunt_own(h, source_view(source));
    source_close(&source);
    return code;
}

enum ctl_exit command_log(const struct ctl *ctl)
{
    const char *text = ctl_value(ctl, OPTION_query) ? ctl_value(ctl, OPTION_query) : "";
    struct query_error error;
    struct arena *arena = arena_create();
    struct hunt h = {.ctl = ctl,
                     .query = log_query_parse(slice_str(text), arena, &error),
                     .counts = ctl_value(ctl, OPTION_count) != NULL,
                     .follows = ctl_value(ctl, OPTION_follow) != NULL};
    bool sums = ctl_value(ctl, OPTION_summary) != NULL;
    enum ctl_exit code = CTL_OK;
    if (h.query == NULL)
        code = refuse_query(text, &error);
    else if (h.counts + h.follows + sums > 1)
        code = ctl_wrong_usage("only one of --count, --summary and --follow", "");
    else if (h.follows && ctl->arg_count > 1)
        code = ctl_wrong_usage("--follow goes with one FILE", "");
    else if (h.follows && ctl->arg_count == 1 && strcmp(ctl->args[0], "-") == 0)
        code = ctl_wrong_usage("--follow goes with a FILE that has a name", "");
    if (code == CTL_OK) {
        h.arena = arena_create();
        h.summary = sums ? summary_create() : NULL;
        code = ctl->arg_count > 0 ? hunt(&h, ctl->args, ctl->arg_count) : hunt_instance(&h);
        arena_destroy(&h.arena);
    }
    if (h.summary != NULL)
        summary_destroy(&h.summary);
    arena_destroy(&arena);
    return code;
}
