#include "master/ctl/advise/scan.h"

#include <cjson/cJSON.h>
#include <string.h>

enum { SCANS_MAX = 64 };

struct reader {
    struct arena *arena;
    struct scans *out;
};

static const char *text_of(const cJSON *node, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(node, name));
    return text != NULL ? text : "";
}

static double number_of(const cJSON *node, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(node, name);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static bool is_type(const cJSON *node, const char *type)
{
    return strcmp(text_of(node, "Node Type"), type) == 0;
}

/* A scan of a bitmap, or of an index by a condition, reads what they have found; one of a sample or of a CTE is of no
 * table that an index would help. */
static bool reads_all(const cJSON *node)
{
    bool by_index = is_type(node, "Index Scan") || is_type(node, "Index Only Scan");
    return is_type(node, "Seq Scan") || (by_index && *text_of(node, "Index Cond") == '\0');
}

static void take_sort_keys(struct reader *r, const cJSON *keys, struct scan *scan)
{
    const cJSON *key;
    scan->sort_keys = arena_alloc(r->arena, (size_t)cJSON_GetArraySize(keys) * sizeof *scan->sort_keys);
    cJSON_ArrayForEach(key, keys)
    {
        if (cJSON_IsString(key))
            scan->sort_keys[scan->sort_key_count++] = arena_str(r->arena, slice_str(key->valuestring));
    }
}

/* What a node's children are read for. */
struct purpose {
    const cJSON *sort_keys; /* NULL: for no order */
    const char *join;
};

static void take(struct reader *r, const cJSON *node, const struct purpose *purpose)
{
    struct scan *scan = &r->out->list[r->out->count++];
    *scan = (struct scan){.schema = arena_str(r->arena, slice_str(text_of(node, "Schema"))),
                          .table = arena_str(r->arena, slice_str(text_of(node, "Relation Name"))),
                          .alias = arena_str(r->arena, slice_str(text_of(node, "Alias"))),
                          .filter = arena_str(r->arena, slice_str(text_of(node, "Filter"))),
                          .join = arena_str(r->arena, slice_str(purpose->join)),
                          .rows = number_of(node, "Plan Rows"),
                          .sequential = is_type(node, "Seq Scan")};
    if (purpose->sort_keys != NULL)
        take_sort_keys(r, purpose->sort_keys, scan);
}

/* A sort or a hash table stands between a join and the table that it reads; an aggregate ends what it is read for. */
static struct purpose purpose_of(const cJSON *node, const struct purpose *above)
{
    static const char *const joins[] = {"Hash Cond", "Merge Cond", "Join Filter"};
    const cJSON *keys = cJSON_GetObjectItemCaseSensitive(node, "Sort Key");
    bool passes_on = is_type(node, "Sort") || is_type(node, "Hash") || is_type(node, "Materialize") ||
                     is_type(node, "Memoize") || is_type(node, "Append");
    struct purpose purpose = {cJSON_IsArray(keys) ? keys : above->sort_keys, passes_on ? above->join : ""};
    for (size_t i = 0; i < ARRAY_LEN(joins); i++)
        if (*text_of(node, joins[i]) != '\0')
            purpose.join = text_of(node, joins[i]);
    return purpose;
}

/* Nodes stand in nodes, as deep as the query has it; cJSON reads no more than a thousand levels. */
static void walk(struct reader *r, const cJSON *node, const struct purpose *above)
{
    const cJSON *child;
    bool for_some = *text_of(node, "Filter") != '\0' || *above->join != '\0' || above->sort_keys != NULL;
    if (reads_all(node) && *text_of(node, "Schema") != '\0' && for_some && r->out->count < SCANS_MAX)
        take(r, node, above);
    struct purpose purpose = purpose_of(node, above);
    cJSON_ArrayForEach(child, cJSON_GetObjectItemCaseSensitive(node, "Plans")) walk(r, child, &purpose);
}

bool scans_in_plan(const char *plan, struct arena *arena, struct scans *out)
{
    cJSON *document = cJSON_Parse(plan);
    const cJSON *top = cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(document, 0), "Plan");
    struct reader reader = {arena, out};
    *out =
        (struct scans){.cost = number_of(top, "Total Cost"), .list = arena_alloc(arena, SCANS_MAX * sizeof *out->list)};
    if (top != NULL)
        walk(&reader, top, &(struct purpose){NULL, ""});
    cJSON_Delete(document);
    return top != NULL;
}
