/* perfctl diff: the figures between two snapshots, or one and now. */
#include "common/clock.h"
#include "master/ctl/ctl.h"
#include "master/ctl/format.h"
#include "master/ctl/snapshot_file.h"
#include "master/ctl/source.h"

static enum ctl_exit take_now(struct ctl *ctl, struct snapshot **out)
{
    if (!source_know_dir(&ctl->dir))
        return CTL_NOT_RUNNING;
    enum ctl_exit code = source_open(ctl->dir, &ctl->source);
    if (code != CTL_OK)
        return code;
    *out = source_take(ctl->source);
    ctl->running = source_is_running(ctl->source);
    source_close(&ctl->source);
    return CTL_OK;
}

static enum ctl_exit read_file(const struct ctl *ctl, const char *path, struct snapshot **out)
{
    struct err err;
    *out = snapshot_file_read(path, &err);
    return *out != NULL ? CTL_OK : ctl_fail(ctl, err.text, "");
}

static enum ctl_exit print(const struct ctl *ctl)
{
    const struct snapshot *s = ctl->figures;
    if (ctl->output != OUTPUT_TABLE) {
        cJSON *document = document_create(ctl);
        routes_put(document, s);
        stats_put(document, s);
        return document_print(ctl, &document);
    }
    printf("%s: %s to %s\n\n", format_age(s->span_us).s, format_time(s->at_us - s->span_us).s, format_time(s->at_us).s);
    routes_print(s);
    putchar('\n');
    stats_print(s);
    return CTL_OK;
}

enum ctl_exit command_diff(const struct ctl *given)
{
    struct ctl ctl = *given;
    struct err err;
    struct snapshot *earlier = NULL, *later = NULL, *window = NULL;
    enum ctl_exit code = read_file(&ctl, ctl.args[0], &earlier);
    if (code == CTL_OK)
        code = ctl.arg_count > 1 ? read_file(&ctl, ctl.args[1], &later) : take_now(&ctl, &later);
    if (code == CTL_OK && (window = snapshot_between(earlier, later, &err)) == NULL)
        code = ctl_fail(&ctl, err.text, "");
    if (code == CTL_OK) {
        ctl.figures = window;
        ctl.now_us = window->at_us;
        code = print(&ctl);
    }
    snapshot_destroy(&earlier);
    snapshot_destroy(&later);
    snapshot_destroy(&window);
    return code;
}
