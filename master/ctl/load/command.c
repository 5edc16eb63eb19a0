#include "common/clock.h"
#include "master/ctl/load/report.h"

#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

enum { CONNECTIONS = 1000, CONNECTIONS_MAX = 100000, LEVEL_MAX = 1000000 };

/* What the command line says beside the scenario. */
struct words {
    struct scenario_choice choice;
    double rate; /* rate, users: 0 where the scenario's stages count */
    int64_t users, connections, seed;
    int64_t duration_us; /* 0: as long as the stages */
};

static bool read_numbers(const struct ctl *ctl, struct words *w)
{
    w->choice.url = ctl_value(ctl, OPTION_url);
    return ctl_whole(ctl, OPTION_vus, 1, CONNECTIONS_MAX, 0, &w->users) &&
           ctl_number(ctl, OPTION_rate, 0.001, LEVEL_MAX, 0, &w->rate) &&
           ctl_whole(ctl, OPTION_connections, 1, CONNECTIONS_MAX, CONNECTIONS, &w->connections) &&
           ctl_whole(ctl, OPTION_seed, 0, SCENARIO_SEED_MAX, -1, &w->seed) &&
           ctl_whole(ctl, OPTION_scale, 1, SCENARIO_SCALE_MAX, 1, &w->choice.scale) &&
           ctl_number(ctl, OPTION_duration_scale, 0.0001, 1000, 1, &w->choice.duration_scale) &&
           ctl_duration(ctl, OPTION_duration, 0, &w->duration_us);
}

static enum ctl_exit read_words(const struct ctl *ctl, struct words *w)
{
    if (!read_numbers(ctl, w))
        return CTL_USAGE;
    if (w->users > 0 && w->rate > 0)
        return ctl_wrong_usage("--vus and --rate", "are one or the other");
    if (w->duration_us > 0 && w->users <= 0 && w->rate <= 0)
        return ctl_wrong_usage("--duration", "goes with --vus or --rate");
    return CTL_OK;
}

static void replace_plan(struct scenario *s, const struct words *w, struct arena *arena)
{
    int64_t duration_us = w->duration_us > 0 ? w->duration_us : plan_length_us(&s->plan);
    if (w->users > 0)
        s->plan = plan_constant(PLAN_USERS, (double)w->users, duration_us, arena);
    else if (w->rate > 0)
        s->plan = plan_constant(PLAN_RATE, w->rate, duration_us, arena);
}

/* Below 2^53, so that a reader of the JSON can give it back. */
static uint64_t any_seed(void)
{
    uint64_t seed = (uint64_t)clock_wall_us();
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed)
        seed = (uint64_t)clock_wall_us();
    return seed >> 11;
}

static enum ctl_exit run(const struct ctl *ctl, const struct scenario *s, const struct words *w)
{
    struct err err;
    struct load_result result;
    bool terminal = isatty(STDERR_FILENO);
    const struct load_options options = {.scenario = s,
                                         .seed = w->seed >= 0 ? (uint64_t)w->seed : any_seed(),
                                         .connections = (int)w->connections,
                                         .progress = report_progress,
                                         .progress_arg = &terminal,
                                         .progress_us = (terminal ? 1 : 10) * US_PER_S};
    if (!load_run(&options, &result, &err))
        return ctl_fail(ctl, err.text, "");
    if (terminal)
        fputs("\r\033[K", stderr);
    enum ctl_exit code = report_print(ctl, &(struct report){ctl->args[0], &options, &result});
    load_result_deinit(&result);
    return code;
}

enum ctl_exit command_load(const struct ctl *ctl)
{
    struct words words;
    struct err err;
    struct scenario scenario;
    enum ctl_exit code = read_words(ctl, &words);
    if (code != CTL_OK)
        return code;
    struct arena *arena = arena_create();
    if (scenario_read(ctl->args[0], &words.choice, arena, &scenario, &err)) {
        replace_plan(&scenario, &words, arena);
        code = run(ctl, &scenario, &words);
    } else {
        fprintf(stderr, "perfctl: %s\n", err.text);
        code = CTL_USAGE;
    }
    arena_destroy(&arena);
    return code;
}
