#include "worker/params.h"
#include "common/template.h"
#include "shm/tags.h"

/* Where one name's value was found. */
struct found {
    const struct slice *path;
    const struct slice *texts; /* of the query string */
    int text_count;
    const struct json_field *field;
};

static void find_path(const struct route *route, const struct params_source *source, struct found *found)
{
    int count = 0;
    for (const char *at = strchr(route->conf->path, '{'); at != NULL; at = strchr(at + 1, '{'), count++) {
        int i = router_name(source->place, source->method, count);
        if (i >= 0)
            found[i].path = &source->path_values[count];
    }
}

static void find_pairs(const struct route *route, const struct target *target, struct arena *arena, struct found *found,
                       struct problem *problem)
{
    int count = target->pair_count;
    for (int p = 0; p < count; p++) {
        int i = query_name_index(route->query, target->pairs[p].name);
        if (i < 0) {
            problem_add(problem, arena, arena_str(arena, target->pairs[p].name), -1,
                        "is not a parameter of this route");
            continue;
        }
        if (found[i].text_count > 0)
            continue; /* gathered with the first one of its name */
        struct slice *texts = arena_alloc(arena, (size_t)(count - p) * sizeof *texts);
        for (int q = p; q < count; q++)
            if (slice_eq(target->pairs[q].name, target->pairs[p].name))
                texts[found[i].text_count++] = target->pairs[q].value;
        found[i].texts = texts;
    }
}

static void find_fields(const struct route *route, const struct params_source *source, struct arena *arena,
                        struct found *found, struct problem *problem)
{
    for (int f = 0; f < source->field_count; f++) {
        int i = query_name_index(route->query, source->fields[f].name);
        if (i >= 0)
            found[i].field = &source->fields[f];
        else
            problem_add(problem, arena, arena_str(arena, source->fields[f].name), -1,
                        "is not a parameter of this route");
    }
}

/* NULL, or what is wrong with it. */
static const char *read_one(const struct found *found, const struct conf_param *rule, uint32_t type,
                            struct arena *arena, struct param_value *value)
{
    int sources = (found->path != NULL) + (found->text_count > 0) + (found->field != NULL);
    const char *wrong = NULL;
    if (sources > 1)
        return found->path ? "is given by the path already" : "is given in the query string and in the body";
    if (found->path != NULL)
        wrong = param_from_text(*found->path, type, arena, value);
    else if (found->text_count > 0)
        wrong = param_from_texts(found->texts, found->text_count, type, arena, value);
    else if (found->field != NULL)
        wrong = param_from_json(found->field, type, arena, value);
    else if (rule != NULL && rule->default_text != NULL)
        wrong = param_from_text(slice_str(rule->default_text), type, arena, value);
    else
        value->null = true;
    return wrong ? wrong : param_check(value, rule, arena);
}

bool params_read(const struct route *route, const struct params_source *source, struct arena *arena,
                 struct param_value **values_out, struct problem *problem)
{
    int count = route->query->name_count;
    struct found *found = arena_alloc(arena, (size_t)count * sizeof *found);
    struct param_value *values = arena_alloc(arena, (size_t)count * sizeof *values);
    find_path(route, source, found);
    find_pairs(route, source->target, arena, found, problem);
    find_fields(route, source, arena, found, problem);
    for (int i = 0; i < count; i++) {
        const char *wrong = read_one(&found[i], route->rules[i], route->types[i], arena, &values[i]);
        if (wrong != NULL)
            problem_add(problem, arena, route->query->names[i], -1, wrong);
    }
    *values_out = values;
    return problem->errors == NULL;
}

const char *const *const *params_bind(const struct route *route, const struct param_value *values, struct arena *arena)
{
    int statements = route->query->statement_count;
    const char *const **bound = arena_alloc(arena, (size_t)statements * sizeof *bound);
    for (int s = 0; s < statements; s++) {
        const struct query_statement *statement = &route->query->statements[s];
        const char **texts = arena_alloc(arena, (size_t)MAX(statement->param_count, 1) * sizeof *texts);
        for (int i = 0; i < statement->param_count; i++) {
            const struct param_value *value = &values[statement->params[i]];
            texts[i] = value->null ? NULL : value->text.at;
        }
        bound[s] = texts;
    }
    return bound;
}

/* A form that is not JSON is told by one more byte: all else has a fixed number of parts. */
struct slice params_key(const struct route *route, const struct param_value *values, enum encode_format format,
                        struct arena *arena)
{
    size_t bytes = sizeof route->conf->version + (format != ENCODE_JSON);
    for (int i = 0; i < route->query->name_count; i++)
        bytes += 1 + sizeof(uint32_t) + (values[i].null ? 0 : values[i].text.len);
    char *key = arena_bytes(arena, bytes), *at = key;
    at = mempcpy(at, &route->conf->version, sizeof route->conf->version);
    for (int i = 0; i < route->query->name_count; i++) {
        uint32_t len = values[i].null ? 0 : (uint32_t)values[i].text.len;
        *at++ = values[i].null ? 'n' : 'v';
        at = mempcpy(at, &len, sizeof len);
        if (len > 0)
            at = mempcpy(at, values[i].text.at, len);
    }
    if (format != ENCODE_JSON)
        *at = (char)format;
    return slice_of(key, bytes);
}

static uint32_t tag_slot(const struct route *route, const char *template, const struct param_value *values)
{
    struct buf tag = {0};
    for (struct template_part part; template_next(&template, &part);) {
        int i = query_name_index(route->query, part.name);
        buf_add(&tag, part.text.at, part.text.len);
        if (i >= 0 && !values[i].null)
            buf_add(&tag, values[i].text.at, values[i].text.len);
    }
    uint32_t slot = tags_slot(buf_slice(&tag));
    buf_deinit(&tag);
    return slot;
}

void params_tags(const struct route *route, const struct conf_strings *templates, const struct param_value *values,
                 uint32_t *slots_out)
{
    for (int i = 0; i < templates->count; i++)
        slots_out[i] = tag_slot(route, templates->at[i], values);
}
