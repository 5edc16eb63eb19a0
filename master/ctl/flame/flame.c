#include "common/clock.h"
#include "master/ctl/ctl.h"
#include "master/ctl/flame/perf.h"
#include "master/ctl/flame/svg.h"
#include "master/ctl/format.h"
#include "master/ctl/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE_ROWS = 15, TITLE_BYTES = 160 };
#define DURATION_US (10 * US_PER_S)

struct flame {
    int pids[PERF_PIDS_MAX];
    int count;
    int64_t took_us;
    const char *path; /* "-": standard output */
    bool folded;
    struct stacks *stacks;
};

/* ---- who ---- */

static bool add_worker(struct flame *f, const struct snapshot *s, int slot)
{
    int pid = (int)snapshot_get(s, slot, STAT_pid);
    if (pid > 0 && f->count < PERF_PIDS_MAX)
        f->pids[f->count++] = pid;
    return pid > 0;
}

static enum ctl_exit choose_workers(const struct ctl *ctl, struct flame *f)
{
    int64_t slot;
    const struct snapshot *s = ctl->figures;
    if (!ctl->running)
        return CTL_NOT_RUNNING;
    if (!ctl_whole(ctl, OPTION_slot, 0, PERF_PIDS_MAX, -1, &slot))
        return CTL_USAGE;
    if (slot >= 0)
        return slot < s->slots && add_worker(f, s, (int)slot)
                   ? CTL_OK
                   : ctl_fail(ctl, "no worker is in the slot", ctl_value(ctl, OPTION_slot));
    for (int i = 0; i < s->slots; i++)
        add_worker(f, s, i);
    return f->count > 0 ? CTL_OK : ctl_fail(ctl, "there is no worker", "");
}

/* ---- what was found ---- */

static double share(const struct flame *f, int64_t samples)
{
    return (double)samples / (double)f->stacks->root.samples;
}

static void put_title(const struct flame *f, char *title, size_t bytes)
{
    snprintf(title, bytes, "%s samples of %d worker%s in %s", format_count(f->stacks->root.samples).s, f->count,
             f->count == 1 ? "" : "s", format_age(f->took_us).s);
}

static enum ctl_exit write_picture(const struct ctl *ctl, const struct flame *f)
{
    char title[TITLE_BYTES], words[TITLE_BYTES / 2];
    bool standard = strcmp(f->path, "-") == 0;
    FILE *out = standard ? stdout : fopen(f->path, "we");
    if (out == NULL)
        return ctl_fail(ctl, f->path, strerror(errno));
    put_title(f, words, sizeof words);
    snprintf(title, sizeof title, "perfd: %s, %s", words, format_time(ctl->now_us).s);
    if (f->folded)
        stacks_print_folded(f->stacks, out);
    else
        svg_print(f->stacks, title, out);
    bool failed = fflush(out) != 0 || ferror(out);
    if ((!standard && fclose(out) != 0) || failed)
        return ctl_fail(ctl, f->path, strerror(errno));
    return CTL_OK;
}

static enum ctl_exit print_document(const struct ctl *ctl, const struct flame *f, struct function *const *functions)
{
    cJSON *document = document_create(ctl);
    document_int(document, "samples", f->stacks->root.samples);
    document_int(document, "took_us", f->took_us);
    document_int(document, "workers", f->count);
    cJSON_AddStringToObject(document, "file", f->path);
    cJSON *list = cJSON_AddArrayToObject(document, "functions");
    for (int i = 0; i < f->stacks->function_count; i++) {
        cJSON *function = document_row(list);
        cJSON_AddStringToObject(function, "name", functions[i]->name);
        cJSON_AddStringToObject(function, "library", functions[i]->lies_in->name);
        document_int(function, "own", functions[i]->own);
        document_int(function, "total", functions[i]->total);
    }
    return document_print(ctl, &document);
}

static void print_table(const struct flame *f, struct function *const *functions)
{
    char title[TITLE_BYTES];
    struct table *table = table_create("OWN|TOTAL|<FUNCTION|<LIBRARY");
    for (int i = 0; i < MIN(f->stacks->function_count, (int)TABLE_ROWS) && functions[i]->own > 0; i++) {
        table_cell(table, "%.1f %%", 100 * share(f, functions[i]->own));
        table_cell(table, "%.1f %%", 100 * share(f, functions[i]->total));
        table_cell(table, "%.80s", functions[i]->name);
        table_cell(table, "%s", functions[i]->lies_in->name);
    }
    put_title(f, title, sizeof title);
    printf("%s: %s\n\n", title, f->path);
    table_print(&table);
}

static enum ctl_exit tell(const struct ctl *ctl, const struct flame *f)
{
    enum ctl_exit code = CTL_OK;
    struct function **functions = stacks_busiest(f->stacks);
    if (ctl->output != OUTPUT_TABLE)
        code = print_document(ctl, f, functions);
    else
        print_table(f, functions);
    free(functions);
    return code;
}

/* ---- command ---- */

static enum ctl_exit sample(const struct ctl *ctl, struct flame *f, int64_t duration_us)
{
    struct err err;
    int64_t begin_us = clock_mono_us();
    FILE *samples = perf_sample(f->pids, f->count, duration_us, &err);
    f->took_us = MIN(clock_mono_us() - begin_us, duration_us);
    bool ok = samples != NULL && stacks_read(f->stacks, samples, &err);
    if (samples != NULL)
        fclose(samples);
    if (!ok)
        return ctl_fail(ctl, err.text, "");
    if (f->stacks->root.samples == 0)
        return ctl_fail(ctl, "the workers used no CPU meanwhile: there are no samples", "");
    stacks_count(f->stacks);
    return CTL_OK;
}

enum ctl_exit command_flame(const struct ctl *ctl)
{
    int64_t duration_us;
    const char *path = ctl_value(ctl, OPTION_output_file);
    struct flame f = {.folded = ctl_value(ctl, OPTION_folded) != NULL};
    f.path = path != NULL ? path : f.folded ? "-" : "flame.svg";
    if (!ctl_duration(ctl, OPTION_duration, DURATION_US, &duration_us))
        return CTL_USAGE;
    if (ctl->output != OUTPUT_TABLE && strcmp(f.path, "-") == 0)
        return ctl_wrong_usage("-o json and csv need --output-file", "");
    enum ctl_exit code = choose_workers(ctl, &f);
    if (code != CTL_OK)
        return code;
    f.stacks = stacks_create();
    if ((code = sample(ctl, &f, duration_us)) == CTL_OK && (code = write_picture(ctl, &f)) == CTL_OK &&
        strcmp(f.path, "-") != 0)
        code = tell(ctl, &f);
    stacks_destroy(&f.stacks);
    return code;
}
