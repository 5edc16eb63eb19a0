#include "worker/upstream_head.h"

#include <ctype.h>

void upstream_head_reset(struct upstream_head *head)
{
    head->status = head->count = 0;
    head->begun = head->whole = false;
    head->bytes.len = 0;
}

void upstream_head_deinit(struct upstream_head *head)
{
    buf_deinit(&head->bytes);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct slice trim(struct slice s)
{
    while (s.len > 0 && is_space(s.at[0]))
        s = slice_of(s.at + 1, s.len - 1);
    while (s.len > 0 && is_space(s.at[s.len - 1]))
        s.len--;
    return s;
}

static bool is_token(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!isalnum((unsigned char)name.at[i]) &&
            (name.at[i] == '\0' || strchr("!#$%&'*+-.^_`|~", name.at[i]) == NULL))
            return false;
    return name.len > 0;
}

static bool is_plain(struct slice value)
{
    for (size_t i = 0; i < value.len; i++)
        if (((unsigned char)value.at[i] < ' ' && value.at[i] != '\t') || value.at[i] == 0x7f)
            return false;
    return true;
}

/* "HTTP/1.1 200 OK": three digits behind the first space. */
static int status_of(struct slice line)
{
    const char *at = memchr(line.at, ' ', line.len);
    size_t left = at ? (size_t)(line.at + line.len - at) : 0;
    if (left < 4 || !isdigit((unsigned char)at[1]) || !isdigit((unsigned char)at[2]) || !isdigit((unsigned char)at[3]))
        return 0;
    return (at[1] - '0') * 100 + (at[2] - '0') * 10 + at[3] - '0';
}

static uint32_t keep(struct upstream_head *head, struct slice text)
{
    uint32_t at = (uint32_t)head->bytes.len;
    buf_add(&head->bytes, text.at, text.len);
    buf_addc(&head->bytes, '\0');
    return at;
}

static bool add_field(struct upstream_head *head, struct slice line)
{
    const char *colon = memchr(line.at, ':', line.len);
    struct slice name = slice_of(line.at, colon ? (size_t)(colon - line.at) : 0);
    if (!is_token(name))
        return true;
    struct slice value = trim(slice_of(colon + 1, line.len - name.len - 1));
    if (!is_plain(value))
        return true;
    if (head->count == UPSTREAM_FIELDS_MAX || head->bytes.len + line.len > UPSTREAM_HEAD_BYTES)
        return false;
    int i = head->count++;
    head->at[i].name = keep(head, name);
    head->at[i].name_len = (uint32_t)name.len;
    head->at[i].value = keep(head, value);
    head->at[i].value_len = (uint32_t)value.len;
    return true;
}

/* Behind the whole head come a body's trailers, unless it was one with 1xx. */
bool upstream_head_add(struct upstream_head *head, struct slice line)
{
    bool first = line.len >= 5 && memcmp(line.at, "HTTP/", 5) == 0;
    if (head->whole)
        return true;
    if (first && !head->begun) {
        upstream_head_reset(head);
        head->begun = true;
        head->status = status_of(line);
        return true;
    }
    if (trim(line).len > 0)
        return add_field(head, line);
    head->whole = head->status >= 200;
    if (!head->whole)
        upstream_head_reset(head);
    return true;
}

const struct http_header *upstream_head_fields(struct upstream_head *head)
{
    for (int i = 0; i < head->count; i++)
        head->fields[i] = (struct http_header){slice_of(head->bytes.at + head->at[i].name, head->at[i].name_len),
                                               slice_of(head->bytes.at + head->at[i].value, head->at[i].value_len)};
    return head->fields;
}
