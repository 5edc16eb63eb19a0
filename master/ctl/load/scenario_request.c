#include "master/ctl/load/scenario_request.h"

enum { REQUESTS_MAX = 64, WEIGHT_MAX = 1000000 };

static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};

static bool is_token(const char *text)
{
    return *text != '\0' &&
           text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")] == '\0';
}

/* Without what would end a line, or a word of the request line where blanks are not allowed either. */
static bool is_clean(const char *text, bool blanks)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < (blanks ? ' ' : '!') || (unsigned char)*text >= 0x7f)
            return false;
    return true;
}

/* ---- header fields ---- */

/* That the client writes itself. */
static bool is_own(const char *name)
{
    static const char *const own[] = {"Host", "Content-Length", "Transfer-Encoding", "Connection", "Expect"};
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        if (strcasecmp(name, own[i]) == 0)
            return true;
    return false;
}

static bool add_field(const struct node *node, const char *name, struct buf *head, struct err *err)
{
    const char *value;
    if (!is_token(name))
        return node_fail(node, err, "is no name of a header field");
    if (is_own(name))
        return node_fail(node, err, "is written by perfctl itself");
    if (!node_string(node, &value, err))
        return false;
    if (!is_clean(value, true))
        return node_fail(node, err, "must be of visible ASCII characters and blanks");
    buf_printf(head, "%s: %s\r\n", name, value);
    return true;
}

static bool add_fields(struct node_object *object, struct buf *head, struct err *err)
{
    struct node node, member;
    struct node_object fields;
    const char *name;
    if (!node_take(object, "headers", &node))
        return true;
    if (!node_open(&node, &fields, err))
        return false;
    for (int i = 0; (name = node_member(&fields, i, &member)) != NULL; i++)
        if (!add_field(&member, name, head, err))
            return false;
    return true;
}

/* ---- one request ---- */

static bool make_pattern(const struct node *node, struct slice text, bool json, const struct scenario *s,
                         struct pattern *out, struct err *err)
{
    struct err why;
    return pattern_create(text, &s->variables, json, node->file->arena, out, &why) ||
           node_fail(node, err, "%s", why.text);
}

static bool read_method(struct node_object *object, struct request *r, struct err *err)
{
    struct node node;
    const char *text;
    r->method = "GET";
    if (!node_take(object, "method", &node))
        return true;
    if (!node_string(&node, &text, err))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (strcmp(text, methods[i]) == 0) {
            r->method = methods[i];
            return true;
        }
    return node_fail(&node, err, "must be GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS");
}

static bool read_path(struct node_object *object, const struct scenario *s, struct request *r, struct err *err)
{
    struct node node;
    const char *path;
    if (!node_need(object, "path", &node, err) || !node_string(&node, &path, err))
        return false;
    if (*path != '/' || strchr(path, '#') != NULL || !is_clean(path, false))
        return node_fail(&node, err, "must begin with / and be of visible ASCII characters without #");
    return make_pattern(&node, slice_str(path), false, s, &r->path, err);
}

static bool read_body(struct node_object *object, const struct scenario *s, struct request *r, struct buf *head,
                      struct err *err)
{
    struct node node, text;
    const char *body;
    bool json = node_take(object, "json", &node);
    r->has_body = json;
    if (node_take(object, "body", &text)) {
        if (json)
            return node_fail(&text, err, "stands beside \"json\"");
        r->has_body = true;
        return node_string(&text, &body, err) && make_pattern(&text, slice_str(body), false, s, &r->body, err);
    }
    if (!json)
        return true;
    buf_adds(head, "Content-Type: application/json\r\n");
    return make_pattern(&node, node.raw, true, s, &r->body, err);
}

static bool read_statuses(struct node_object *object, struct request *r, struct err *err)
{
    struct node node, *nodes = &node;
    int64_t status;
    r->status_count = 1;
    r->statuses[0] = 200;
    if (!node_take(object, "status", &node))
        return true;
    if (node.type == JSON_ARRAY && !node_list(&node, &nodes, &r->status_count, err))
        return false;
    if (r->status_count < 1 || r->status_count > STATUSES_MAX)
        return node_fail(&node, err, "must be from 1 to %d statuses", STATUSES_MAX);
    for (int i = 0; i < r->status_count; i++) {
        if (!node_whole(&nodes[i], 200, 599, &status, err))
            return false;
        r->statuses[i] = (int)status;
    }
    return true;
}

static bool read_name(struct node_object *object, struct request *r, struct err *err)
{
    struct node node;
    if (!node_need(object, "name", &node, err) || !node_string(&node, &r->name, err))
        return false;
    return *r->name != '\0' || node_fail(&node, err, "must not be empty");
}

static bool read_weight(struct node_object *object, struct request *r, struct err *err)
{
    struct node node;
    r->weight = 1;
    return !node_take(object, "weight", &node) || node_number(&node, 0, WEIGHT_MAX, &r->weight, err);
}

static bool read_request(const struct node *node, struct slice common, const struct scenario *s, struct request *r,
                         struct err *err)
{
    struct node_object object;
    struct buf head = {0};
    buf_add(&head, common.at, common.len);
    bool good = node_open(node, &object, err) && read_name(&object, r, err) && read_weight(&object, r, err) &&
                read_method(&object, r, err) && read_path(&object, s, r, err) && read_body(&object, s, r, &head, err) &&
                add_fields(&object, &head, err) && read_statuses(&object, r, err) && node_all_taken(&object, err);
    if (good)
        good = make_pattern(node, arena_copy(node->file->arena, buf_slice(&head)), false, s, &r->head, err);
    buf_deinit(&head);
    return good;
}

/* ---- all ---- */

static bool check_all(const struct node *node, const struct scenario *s, struct err *err)
{
    double total = 0;
    for (int i = 0; i < s->request_count; i++) {
        total += s->requests[i].weight;
        for (int k = 0; k < i; k++)
            if (strcmp(s->requests[k].name, s->requests[i].name) == 0)
                return node_fail(node, err, "two have the name \"%s\"", s->requests[i].name);
    }
    return total > 0 || node_fail(node, err, "one must have a weight above 0");
}

bool requests_read(struct node_object *root, struct scenario *s, struct err *err)
{
    struct node node, *nodes;
    struct buf common = {0};
    int count = 0;
    buf_adds(&common, "User-Agent: perfctl-load/" PERFD_VERSION "\r\n");
    bool good = add_fields(root, &common, err) && node_need(root, "requests", &node, err) &&
                node_list(&node, &nodes, &count, err);
    if (good && (count == 0 || count > REQUESTS_MAX))
        good = node_fail(&node, err, "must be from 1 to %d requests", REQUESTS_MAX);
    s->requests = good ? arena_alloc(root->node.file->arena, (size_t)count * sizeof *s->requests) : NULL;
    for (; good && s->request_count < count; s->request_count++)
        good = read_request(&nodes[s->request_count], buf_slice(&common), s, &s->requests[s->request_count], err);
    buf_deinit(&common);
    return good && check_all(&node, s, err);
}

bool request_expects(const struct request *r, int status)
{
    for (int i = 0; i < r->status_count; i++)
        if (r->statuses[i] == status)
            return true;
    return false;
}
