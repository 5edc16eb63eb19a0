#include "master/ctl/load/variable.h"
#include "common/clock.h"

#include <math.h>

/* Whole numbers of doubles, so that k6's JavaScript counts alike. */
#define WHOLE_MAX (INT64_C(1) << 53)

static const struct {
    const char *name;
    bool has_from, has_to, has_step;
} kinds[] = {
#define KIND(name, from, to, step) {#name, from, to, step},
    VARIABLE_KINDS(KIND)
#undef KIND
};

/* ---- chance ---- */

static uint64_t mixed(uint64_t z)
{
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

struct dice dice_of(uint64_t seed, uint64_t number)
{
    return (struct dice){mixed(mixed(seed) + number)};
}

double dice_roll(struct dice *dice)
{
    dice->state += UINT64_C(0x9e3779b97f4a7c15);
    return (double)(mixed(dice->state) >> 11) * 0x1p-53;
}

/* ---- reading ---- */

static bool is_name(const char *name)
{
    return *name != '\0' && strlen(name) <= 64 && name[strspn(name, "abcdefghijklmnopqrstuvwxyz_")] == '\0';
}

static bool read_kind(struct node_object *object, struct variable *v, struct err *err)
{
    struct node node;
    const char *name;
    if (!node_need(object, "kind", &node, err) || !node_string(&node, &name, err))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (strcmp(name, kinds[i].name) == 0) {
            v->kind = (enum variable_kind)i;
            return true;
        }
    return node_fail(&node, err, "must be uniform, log_uniform, counter or time_ms");
}

static bool read_to(struct node_object *object, int64_t scale, struct variable *v, struct err *err)
{
    struct node node;
    bool scales = false;
    if (node_take(object, "scales", &node) && !node_flag(&node, &scales, err))
        return false;
    int64_t times = scales ? scale : 1;
    if (!node_need(object, "to", &node, err) || !node_whole(&node, v->from, WHOLE_MAX / times, &v->to, err))
        return false;
    v->to *= times;
    return true;
}

static bool read_variable(const struct node *node, int64_t scale, struct variable *v, struct err *err)
{
    struct node_object object;
    struct node member;
    if (!is_name(v->name))
        return node_fail(node, err, "a variable's name is of a to z and _");
    if (!node_open(node, &object, err) || !read_kind(&object, v, err))
        return false;
    int64_t least = v->kind == VARIABLE_log_uniform ? 1 : 0;
    v->step = 1;
    if (kinds[v->kind].has_from &&
        (!node_need(&object, "from", &member, err) || !node_whole(&member, least, WHOLE_MAX, &v->from, err)))
        return false;
    if (kinds[v->kind].has_to && !read_to(&object, scale, v, err))
        return false;
    if (kinds[v->kind].has_step && node_take(&object, "step", &member) &&
        !node_whole(&member, 1, 1000000000, &v->step, err))
        return false;
    return node_all_taken(&object, err);
}

bool variables_read(const struct node *node, int64_t scale, struct variables *out, struct err *err)
{
    struct node_object object;
    struct node member;
    if (!node_open(node, &object, err))
        return false;
    if (object.count > VARIABLES_MAX)
        return node_fail(node, err, "there are more than %d", VARIABLES_MAX);
    for (const char *name; (name = node_member(&object, out->count, &member)) != NULL; out->count++) {
        out->all[out->count].name = name;
        if (!read_variable(&member, scale, &out->all[out->count], err))
            return false;
    }
    return true;
}

int variables_find(const struct variables *variables, struct slice name)
{
    for (int i = 0; i < variables->count; i++)
        if (slice_is(name, variables->all[i].name))
            return i;
    return -1;
}

/* ---- drawing ---- */

int64_t variable_draw(const struct variable *v, struct dice *dice, uint64_t number, int64_t wall_us)
{
    double low, high;
    switch (v->kind) {
    case VARIABLE_uniform:
        return v->from + v->step * (int64_t)(dice_roll(dice) * (double)((v->to - v->from) / v->step + 1));
    case VARIABLE_log_uniform:
        low = log((double)v->from);
        high = log((double)v->to + 1);
        return MAX(v->from, MIN(v->to, (int64_t)exp(low + dice_roll(dice) * (high - low))));
    case VARIABLE_counter:
        return v->from + v->step * (int64_t)number;
    case VARIABLE_time_ms:
        return wall_us / US_PER_MS;
    }
    CHECK(false);
    return 0;
}
