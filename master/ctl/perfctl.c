#include "common/clock.h"
#include "master/ctl/options.h"
#include "master/ctl/source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- figures ---- */

/* The figures of the time since earlier; those since the start where perfd was started again meanwhile, as is said. */
static struct snapshot *window_of(const struct snapshot *earlier, const struct snapshot *now)
{
    struct err err;
    struct snapshot *window = snapshot_between(earlier, now, &err);
    if (window == NULL)
        fprintf(stderr, "perfctl: %s; these are those since its start\n", err.text);
    return window;
}

static enum ctl_exit run_with(const struct command *command, struct ctl *ctl, const struct snapshot *figures)
{
    ctl->figures = figures;
    ctl->now_us = figures->at_us;
    ctl->view = source_view(ctl->source);
    ctl->running = source_is_running(ctl->source);
    return command->run(ctl);
}

/* Once, or until it is interrupted, whatever is found: who watches waits for what is wrong to end, too. */
static enum ctl_exit run_on_figures(const struct command *command, struct ctl *ctl)
{
    int64_t window_us, watch_us;
    enum ctl_exit code;
    if (!ctl_duration(ctl, OPTION_window, 0, &window_us) || !ctl_duration(ctl, OPTION_watch, 0, &watch_us))
        return CTL_USAGE;
    if (window_us > 0 && !source_is_running(ctl->source)) {
        fputs("perfctl: nothing comes in the next time of a perfd that is not running; see --window\n", stderr);
        return CTL_NOT_RUNNING;
    }
    struct snapshot *now = source_take(ctl->source), *earlier = NULL;
    if (window_us > 0) {
        source_wait(window_us);
        earlier = now;
        now = source_take(ctl->source);
    }
    for (;;) {
        struct snapshot *window = earlier != NULL ? window_of(earlier, now) : NULL;
        code = run_with(command, ctl, window ? window : now);
        snapshot_destroy(&window);
        if (code == CTL_USAGE || watch_us == 0 || fflush(stdout) != 0)
            break;
        source_wait(watch_us);
        putchar('\n');
        snapshot_destroy(&earlier);
        earlier = window_us > 0 ? now : NULL;
        if (earlier == NULL)
            snapshot_destroy(&now);
        now = source_take(ctl->source);
    }
    snapshot_destroy(&earlier);
    snapshot_destroy(&now);
    return code;
}

static enum ctl_exit run_on_file(const struct command *command, struct ctl *ctl)
{
    struct snapshot *now = source_take(ctl->source);
    enum ctl_exit code = run_with(command, ctl, now);
    snapshot_destroy(&now);
    return code;
}

/* ---- commands ---- */

static enum ctl_exit run_command(const struct command *command, struct ctl *ctl)
{
    enum ctl_exit code = CTL_OK;
    if (command->needs != NOTHING && !source_know_dir(&ctl->dir))
        return CTL_NOT_RUNNING;
    if (command->needs == FIGURES || command->needs == FILE_ONLY)
        code = source_open(ctl->dir, &ctl->source);
    if (code == CTL_OK && command->needs == FIGURES)
        code = run_on_figures(command, ctl);
    else if (code == CTL_OK && command->needs == FILE_ONLY)
        code = run_on_file(command, ctl);
    else if (code == CTL_OK)
        code = command->run(ctl);
    source_close(&ctl->source);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "perfctl: cannot write: %s\n", strerror(errno));
        return CTL_FAILED;
    }
    return code;
}

int main(int argc, char **argv)
{
    struct ctl ctl = {0};
    const struct command *command;
    enum ctl_exit code = options_read(&ctl, argc, argv, &command);
    return (int)(command != NULL ? run_command(command, &ctl) : code);
}
