#include "master/ctl/load/scenario.h"
#include "common/clock.h"
#include "common/json_write.h"
#include "master/ctl/load/scenario_request.h"

#include <errno.h>
#include <stdio.h>

enum { FILE_BYTES_MAX = 1 << 20, THRESHOLDS_MAX = 256 };
#define TIMEOUT_MAX_US (60 * US_PER_S) /* a histogram ends at 67 s */
#define THINK_MAX_US (3600 * US_PER_S)

/* ---- parts ---- */

static bool read_url(struct node_object *root, const struct scenario_choice *choice, struct scenario *s,
                     struct err *err)
{
    struct node node;
    const char *text;
    struct arena *arena = root->node.file->arena;
    if (!node_need(root, "base_url", &node, err) || !node_string(&node, &text, err))
        return false;
    if (choice->url != NULL)
        return base_url_parse(choice->url, arena, &s->url, err);
    struct err why;
    return base_url_parse(text, arena, &s->url, &why) || node_fail(&node, err, "%s", why.text);
}

static bool read_plan(struct node_object *root, const struct scenario_choice *choice, struct scenario *s,
                      struct err *err)
{
    struct node users, rate;
    struct arena *arena = root->node.file->arena;
    bool has_users = node_take(root, "users", &users), has_rate = node_take(root, "rate", &rate);
    if (has_users == has_rate)
        return node_fail(&root->node, err, "needs stages of either \"users\" or \"rate\"%s",
                         has_users ? ", not of both" : "");
    return plan_read(has_users ? &users : &rate, has_users ? PLAN_USERS : PLAN_RATE, choice->duration_scale, arena,
                     &s->plan, err);
}

/* [least, most] */
static bool read_think_time(struct node_object *root, struct scenario *s, struct err *err)
{
    struct node node, *nodes;
    int count;
    if (!node_take(root, "think_time", &node))
        return true;
    if (!node_list(&node, &nodes, &count, err))
        return false;
    if (count != 2)
        return node_fail(&node, err, "must be [\"least\", \"most\"]");
    if (!node_duration(&nodes[0], &s->think_from_us, err) || !node_duration(&nodes[1], &s->think_to_us, err))
        return false;
    return (s->think_from_us <= s->think_to_us && s->think_to_us <= THINK_MAX_US) ||
           node_fail(&node, err, "must be two durations up to 1h, the shorter first");
}

static bool read_timeout(struct node_object *root, struct scenario *s, struct err *err)
{
    struct node node;
    s->timeout_us = TIMEOUT_MAX_US;
    if (!node_take(root, "timeout", &node))
        return true;
    if (!node_duration(&node, &s->timeout_us, err))
        return false;
    return (s->timeout_us > 0 && s->timeout_us <= TIMEOUT_MAX_US) || node_fail(&node, err, "must be up to 60s");
}

/* ---- thresholds ---- */

static bool has_request(const struct scenario *s, struct slice name)
{
    for (int i = 0; i < s->request_count; i++)
        if (slice_is(name, s->requests[i].name))
            return true;
    return false;
}

static bool read_expression(const struct node *node, struct scenario *s, struct threshold threshold, struct err *err)
{
    const char *text;
    struct err why;
    if (!node_string(node, &text, err))
        return false;
    if (!threshold_parse(text, &threshold, &why))
        return node_fail(node, err, "%s", why.text);
    if (s->threshold_count == THRESHOLDS_MAX)
        return node_fail(node, err, "there are more than %d", THRESHOLDS_MAX);
    s->thresholds[s->threshold_count++] = threshold;
    return true;
}

static bool read_metric(const struct node *node, const char *metric, struct scenario *s, struct err *err)
{
    struct threshold threshold;
    struct node *expressions;
    struct err why;
    int count;
    if (!threshold_parse_metric(metric, &threshold, &why))
        return node_fail(node, err, "%s", why.text);
    if (threshold.name.len > 0 && !has_request(s, threshold.name))
        return node_fail(node, err, "no request has this name");
    if (!node_list(node, &expressions, &count, err))
        return false;
    for (int i = 0; i < count; i++)
        if (!read_expression(&expressions[i], s, threshold, err))
            return false;
    return true;
}

static bool read_thresholds(struct node_object *root, struct scenario *s, struct err *err)
{
    struct node node, member;
    struct node_object object;
    const char *metric;
    if (!node_take(root, "thresholds", &node))
        return true;
    if (!node_open(&node, &object, err))
        return false;
    s->thresholds = arena_alloc(root->node.file->arena, THRESHOLDS_MAX * sizeof *s->thresholds);
    for (int i = 0; (metric = node_member(&object, i, &member)) != NULL; i++)
        if (!read_metric(&member, metric, s, err))
            return false;
    return true;
}

/* ---- the whole ---- */

static bool read_variables(struct node_object *root, int64_t scale, struct scenario *s, struct err *err)
{
    struct node node;
    return !node_take(root, "variables", &node) || variables_read(&node, scale, &s->variables, err);
}

bool scenario_parse(const char *file, struct slice text, const struct scenario_choice *choice, struct arena *arena,
                    struct scenario *out, struct err *err)
{
    const struct node_file source = {file, text, arena};
    struct node_object root;
    ptrdiff_t bad = utf8_check(text);
    memset(out, 0, sizeof *out);
    if (bad >= 0)
        return err_set(err, "%s: byte %td is not UTF-8", file, bad);
    return node_root(&source, &root, err) && read_url(&root, choice, out, err) && read_plan(&root, choice, out, err) &&
           read_think_time(&root, out, err) && read_timeout(&root, out, err) &&
           read_variables(&root, choice->scale, out, err) && requests_read(&root, out, err) &&
           read_thresholds(&root, out, err) && node_all_taken(&root, err);
}

bool scenario_read(const char *file, const struct scenario_choice *choice, struct arena *arena, struct scenario *out,
                   struct err *err)
{
    FILE *in = fopen(file, "re");
    char *text = arena_bytes(arena, FILE_BYTES_MAX);
    if (in == NULL)
        return err_set(err, "%s: %s", file, strerror(errno));
    size_t len = fread(text, 1, FILE_BYTES_MAX, in);
    bool whole = !ferror(in) && len < FILE_BYTES_MAX;
    const char *why = ferror(in) ? strerror(errno) : "is larger than 1 MB";
    fclose(in);
    if (!whole)
        return err_set(err, "%s: %s", file, why);
    return scenario_parse(file, slice_of(text, len), choice, arena, out, err);
}

/* ---- requests ---- */

static int choose(const struct scenario *s, struct dice *dice)
{
    double total = 0;
    int last = 0;
    for (int i = 0; i < s->request_count; i++)
        total += s->requests[i].weight;
    double left = dice_roll(dice) * total;
    for (int i = 0; i < s->request_count; i++) {
        if (s->requests[i].weight <= 0)
            continue;
        last = i; /* rounding may leave a little behind it */
        left -= s->requests[i].weight;
        if (left < 0)
            break;
    }
    return last;
}

int scenario_choose(const struct scenario *s, uint64_t seed, uint64_t number)
{
    struct dice dice = dice_of(seed, number);
    return choose(s, &dice);
}

static void draw(const struct scenario *s, const struct request *r, struct dice *dice, uint64_t number, int64_t wall_us,
                 int64_t values[VARIABLES_MAX])
{
    uint64_t used = r->path.used | r->head.used | r->body.used;
    for (int i = 0; i < s->variables.count; i++)
        if (used >> i & 1)
            values[i] = variable_draw(&s->variables.all[i], dice, number, wall_us);
}

static void write_length(struct buf *out, struct slice body)
{
    buf_adds(out, "Content-Length: ");
    json_write_int(out, (int64_t)body.len);
    buf_adds(out, "\r\n\r\n");
    buf_add(out, body.at, body.len);
}

int scenario_write(const struct scenario *s, uint64_t seed, uint64_t number, int64_t wall_us, struct buf *out)
{
    struct dice dice = dice_of(seed, number);
    int chosen = choose(s, &dice);
    const struct request *r = &s->requests[chosen];
    int64_t values[VARIABLES_MAX];
    draw(s, r, &dice, number, wall_us, values);
    buf_adds(out, r->method);
    buf_addc(out, ' ');
    buf_add(out, s->url.prefix.at, s->url.prefix.len);
    pattern_write(&r->path, values, out);
    buf_adds(out, " HTTP/1.1\r\nHost: ");
    buf_add(out, s->url.authority.at, s->url.authority.len);
    buf_adds(out, "\r\n");
    pattern_write(&r->head, values, out);
    if (!r->has_body) {
        buf_adds(out, "\r\n");
        return chosen;
    }
    struct buf body = {0};
    pattern_write(&r->body, values, &body);
    write_length(out, buf_slice(&body));
    buf_deinit(&body);
    return chosen;
}
