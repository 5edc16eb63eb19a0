#include "worker/problem.h"
#include "common/json_write.h"

const char *problem_title(int status)
{
    static const struct {
        int status;
        const char *title;
    } titles[] = {
        {400, "Bad Request"},           {404, "Not Found"},          {405, "Method Not Allowed"},
        {408, "Request Timeout"},       {409, "Conflict"},           {413, "Content Too Large"},
        {414, "URI Too Long"},          {417, "Expectation Failed"}, {421, "Misdirected Request"},
        {422, "Unprocessable Content"}, {429, "Too Many Requests"},  {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"}, {501, "Not Implemented"},    {502, "Bad Gateway"},
        {503, "Service Unavailable"},   {504, "Gateway Timeout"},    {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < ARRAY_LEN(titles); i++)
        if (titles[i].status == status)
            return titles[i].title;
    return status < 500 ? "Request Refused" : "Server Error";
}

void problem_add(struct problem *p, struct arena *arena, const char *parameter, long offset, const char *detail)
{
    struct problem_error *e = arena_alloc(arena, sizeof *e);
    *e = (struct problem_error){parameter, offset, detail, NULL};
    if (p->last != NULL)
        p->last->next = e;
    else
        p->errors = e;
    p->last = e;
}

static void write_error(const struct problem_error *e, struct buf *out)
{
    buf_addc(out, '{');
    if (e->parameter != NULL) {
        json_write_key(out, "parameter");
        json_write_string(out, slice_str(e->parameter));
    }
    if (e->offset >= 0) {
        json_write_key(out, "offset");
        json_write_int(out, e->offset);
    }
    json_write_key(out, "detail");
    json_write_string(out, slice_str(e->detail));
    buf_addc(out, '}');
}

static void write_member(struct buf *out, const char *name, const char *value)
{
    if (value == NULL)
        return;
    json_write_key(out, name);
    json_write_string(out, slice_str(value));
}

void problem_write(const struct problem *p, const char *request_id, struct buf *out)
{
    buf_addc(out, '{');
    write_member(out, "type", "about:blank");
    write_member(out, "title", problem_title(p->status));
    json_write_key(out, "status");
    json_write_int(out, p->status);
    write_member(out, "detail", p->detail);
    write_member(out, "code", p->code);
    write_member(out, "part", p->part);
    write_member(out, "request_id", request_id);
    if (p->errors != NULL) {
        json_write_key(out, "errors");
        buf_addc(out, '[');
        for (const struct problem_error *e = p->errors; e != NULL; e = e->next) {
            if (e != p->errors)
                buf_addc(out, ',');
            write_error(e, out);
        }
        buf_addc(out, ']');
    }
    buf_adds(out, "}\n");
}
