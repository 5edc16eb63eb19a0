#include "master/ctl/load/load.h"
#include "common/clock.h"
#include "master/ctl/load/client.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#define TICK_US (20 * US_PER_MS)
enum { FILES_OF_ITS_OWN = 32, THINK_SALT = 0x7417 };

/* Who sends: a user, or a connection for arrivals. */
struct lane {
    struct load *load;
    struct client *client;
    struct event *pause;
    struct lane *next_free; /* of a plan of arrivals */
    int index;
    bool active; /* a user that asks or thinks */
    int request; /* under way */
    uint64_t number;
    int64_t start_us; /* its latency counts from here */
};

struct load {
    const struct load_options *options;
    const struct scenario *scenario;
    struct load_result *result;
    struct client_world world;
    struct lane *lanes; /* the first `made` of them are in use */
    int made, most;
    struct lane *free;
    bool queues; /* arrivals that are due wait for a free lane */
    struct arrivals arrivals;
    uint64_t number; /* of the next request */
    struct buf bytes;
    int users, under_way;
    int64_t begin_us, length_us, tick_us, progress_us;
    struct tally since; /* the last progress */
    struct event *tick, *arrive, *interrupts[2];
};

static int64_t cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * US_PER_S + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

static void add_timer(struct event *event, int64_t us)
{
    us = MAX(us, INT64_C(0));
    struct timeval wait = {us / US_PER_S, us % US_PER_S};
    event_add(event, &wait);
}

static bool is_over(const struct load *l, int64_t now_us)
{
    return now_us - l->begin_us >= l->length_us;
}

/* ---- requests ---- */

static void count(struct load *l, int request, const struct client_result *r, int64_t latency_us)
{
    bool expected = request_expects(&l->scenario->requests[request], r->status);
    tally_add(&l->result->requests[request], r->outcome, r->status, expected, latency_us, r->bytes);
    if (l->options->progress != NULL)
        tally_add(&l->since, r->outcome, r->status, expected, latency_us, r->bytes);
}

static void send_request(struct lane *lane, int64_t start_us)
{
    struct load *l = lane->load;
    l->bytes.len = 0;
    lane->number = l->number++;
    lane->request = scenario_write(l->scenario, l->options->seed, lane->number, clock_wall_us(), &l->bytes);
    lane->start_us = start_us;
    l->under_way++;
    client_send(lane->client, buf_slice(&l->bytes));
}

/* ---- users ---- */

static void leave(struct lane *lane)
{
    lane->active = false;
    lane->load->users--;
}

static int users_wanted(const struct load *l, int64_t now_us)
{
    return is_over(l, now_us) ? 0 : plan_users(&l->scenario->plan, now_us - l->begin_us);
}

static void ask(struct lane *lane, int64_t now_us)
{
    if (lane->index < users_wanted(lane->load, now_us))
        send_request(lane, now_us);
    else
        leave(lane);
}

static void on_thought(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    ask(arg, clock_mono_us());
}

static void think(struct lane *lane)
{
    const struct scenario *s = lane->load->scenario;
    struct dice dice = dice_of(lane->load->options->seed ^ THINK_SALT, lane->number);
    add_timer(lane->pause,
              s->think_from_us + (int64_t)(dice_roll(&dice) * (double)(s->think_to_us - s->think_from_us)));
}

/* ---- arrivals ---- */

static struct lane *make_lane(struct load *l);

static struct lane *take_free(struct load *l)
{
    struct lane *lane = l->free;
    if (lane == NULL)
        return l->made < l->most ? make_lane(l) : NULL;
    l->free = lane->next_free;
    return lane;
}

/* Sends what is due, as far as connections are free. */
static void send_due(struct load *l)
{
    int64_t due_us;
    while (arrivals_due(&l->arrivals, &due_us)) {
        int64_t left_us = l->begin_us + due_us - clock_mono_us();
        l->queues = l->queues && left_us <= 0;
        if (left_us > 0) {
            add_timer(l->arrive, left_us);
            return;
        }
        struct lane *lane = take_free(l);
        l->queues = l->queues || lane == NULL;
        if (lane == NULL)
            return;
        l->result->waited += l->queues;
        arrivals_pass(&l->arrivals);
        send_request(lane, l->begin_us + due_us);
    }
}

static void on_arrive(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    send_due(arg);
}

/* What was due and found no connection up to the time-out behind the end. */
static void give_up(struct load *l, int64_t now_us)
{
    static const struct client_result unsent = {.outcome = OUTCOME_unsent};
    int64_t due_us;
    while (arrivals_due(&l->arrivals, &due_us)) {
        arrivals_pass(&l->arrivals);
        l->result->waited++;
        count(l, scenario_choose(l->scenario, l->options->seed, l->number++), &unsent, now_us - l->begin_us - due_us);
    }
}

/* ---- the course of it ---- */

static void end_if_done(struct load *l, int64_t now_us)
{
    int64_t due_us;
    bool rate = l->scenario->plan.kind == PLAN_RATE;
    if (rate && now_us - l->begin_us >= l->length_us + l->scenario->timeout_us)
        give_up(l, now_us);
    if (is_over(l, now_us) && l->under_way == 0 && (!rate || !arrivals_due(&l->arrivals, &due_us)))
        event_base_loopbreak(l->world.base);
}

static void on_done(void *owner, const struct client_result *result)
{
    struct lane *lane = owner;
    struct load *l = lane->load;
    int64_t now_us = clock_mono_us();
    l->under_way--;
    count(l, lane->request, result, now_us - lane->start_us);
    if (l->scenario->plan.kind == PLAN_USERS) {
        think(lane);
    } else {
        lane->next_free = l->free;
        l->free = lane;
        send_due(l);
    }
    if (is_over(l, now_us))
        end_if_done(l, now_us);
}

static struct lane *make_lane(struct load *l)
{
    struct lane *lane = &l->lanes[l->made];
    *lane = (struct lane){.load = l, .index = l->made++};
    lane->client = client_create(&l->world, on_done, lane);
    lane->pause = evtimer_new(l->world.base, on_thought, lane);
    CHECK(lane->pause != NULL);
    return lane;
}

static void start_users(struct load *l, int64_t now_us)
{
    int wanted = users_wanted(l, now_us);
    for (int i = 0; i < wanted; i++) {
        struct lane *lane = i < l->made ? &l->lanes[i] : make_lane(l);
        if (lane->active)
            continue;
        lane->active = true;
        l->users++;
        send_request(lane, now_us);
    }
}

static void show_progress(struct load *l, int64_t now_us)
{
    const struct load_options *o = l->options;
    if (o->progress == NULL || now_us - l->progress_us < o->progress_us)
        return;
    o->progress(o->progress_arg, l, now_us);
    memset(&l->since, 0, sizeof l->since);
    l->progress_us = now_us;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct load *l = arg;
    int64_t now_us = clock_mono_us();
    (void)fd, (void)what;
    meter_late(&l->result->meter, now_us - l->tick_us);
    meter_look(&l->result->meter, now_us, cpu_us(), false);
    if (l->scenario->plan.kind == PLAN_USERS)
        start_users(l, now_us);
    show_progress(l, now_us);
    end_if_done(l, now_us);
    l->tick_us = MAX(l->tick_us + TICK_US, now_us);
    add_timer(l->tick, l->tick_us - now_us);
}

static void on_interrupt(evutil_socket_t fd, short what, void *arg)
{
    struct load *l = arg;
    (void)fd, (void)what;
    l->result->interrupted = true;
    event_base_loopbreak(l->world.base);
}

struct load_pace load_pace(const struct load *l, int64_t now_us)
{
    struct load_pace pace = {.at_us = now_us - l->begin_us,
                             .length_us = l->length_us,
                             .since = &l->since,
                             .since_us = now_us - l->progress_us,
                             .kind = l->scenario->plan.kind,
                             .senders = l->scenario->plan.kind == PLAN_USERS ? l->users : l->made,
                             .under_way = l->under_way};
    for (int i = 0; i < l->scenario->request_count; i++)
        pace.requests += l->result->requests[i].requests;
    return pace;
}

/* ---- begin and end ---- */

static bool make_room(int connections, struct err *err)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return true;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur >= (rlim_t)(connections + FILES_OF_ITS_OWN) ||
           err_set(err, "%d connections need more open files than the %llu that are allowed (ulimit -n)", connections,
                   (unsigned long long)limit.rlim_cur);
}

/* Timers of microseconds: those of milliseconds would make each arrival late. */
static struct event_base *make_base(void)
{
    struct event_config *config = event_config_new();
    CHECK(config != NULL);
    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER | EVENT_BASE_FLAG_NO_CACHE_TIME);
    struct event_base *base = event_base_new_with_config(config);
    CHECK(base != NULL);
    event_config_free(config);
    return base;
}

static void init(struct load *l)
{
    static const int signals[] = {SIGINT, SIGTERM};
    const struct timeval timeout = {l->scenario->timeout_us / US_PER_S, l->scenario->timeout_us % US_PER_S};
    struct event_base *base = l->world.base = make_base();
    l->world.timeout = event_base_init_common_timeout(base, &timeout);
    l->world.scratch = xmalloc(CLIENT_READ_BYTES);
    l->lanes = xcalloc((size_t)l->most, sizeof *l->lanes);
    l->tick = evtimer_new(base, on_tick, l);
    l->arrive = evtimer_new(base, on_arrive, l);
    CHECK(l->world.timeout != NULL && l->tick != NULL && l->arrive != NULL);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        l->interrupts[i] = evsignal_new(base, signals[i], on_interrupt, l);
        CHECK(l->interrupts[i] != NULL);
        event_add(l->interrupts[i], NULL);
    }
}

static void deinit(struct load *l)
{
    for (int i = 0; i < l->made; i++) {
        client_destroy(&l->lanes[i].client);
        event_free(l->lanes[i].pause);
    }
    for (size_t i = 0; i < ARRAY_LEN(l->interrupts); i++)
        event_free(l->interrupts[i]);
    event_free(l->tick);
    event_free(l->arrive);
    event_base_free(l->world.base);
    buf_deinit(&l->bytes);
    free(l->world.scratch);
    free(l->lanes);
}

static void sum_up(struct load *l, int64_t now_us)
{
    struct load_result *r = l->result;
    meter_look(&r->meter, now_us, cpu_us(), true);
    for (int i = 0; i < l->scenario->request_count; i++)
        tally_sum(&r->total, &r->requests[i]);
    r->span_us = now_us - l->begin_us;
    r->opened = l->world.opened;
    r->again = l->world.again;
    r->connections = l->made;
    r->under_way = l->under_way;
}

bool load_run(const struct load_options *options, struct load_result *out, struct err *err)
{
    const struct scenario *s = options->scenario;
    struct load l = {.options = options, .scenario = s, .result = out, .arrivals = arrivals_of(&s->plan)};
    l.most = s->plan.kind == PLAN_USERS ? (int)ceil(plan_peak(&s->plan)) : options->connections;
    l.length_us = plan_length_us(&s->plan);
    if (!make_room(l.most, err) || !base_url_resolve(&s->url, &l.world.address, &l.world.address_len, err))
        return false;
    *out = (struct load_result){.requests = xcalloc((size_t)s->request_count, sizeof *out->requests)};
    init(&l);
    l.begin_us = l.tick_us = l.progress_us = clock_mono_us();
    meter_begin(&out->meter, l.begin_us, cpu_us());
    add_timer(l.tick, 0);
    if (s->plan.kind == PLAN_RATE)
        add_timer(l.arrive, 0);
    event_base_dispatch(l.world.base);
    sum_up(&l, clock_mono_us());
    deinit(&l);
    return true;
}

void load_result_deinit(struct load_result *result)
{
    free(result->requests);
    result->requests = NULL;
}
