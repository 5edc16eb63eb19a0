#include "common/clock.h"
#include "common/log.h"
#include "worker/gate.h"
#include "worker/http_answer.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <stdlib.h>

static void tell(struct evkeyvalq *out, const char *name, const char *value)
{
    static struct log_limit limit;
    if (evhttp_add_header(out, name, value) != 0 && log_limit_pass(&limit, US_PER_S, clock_mono_us()))
        log_warn("header %s has a value that HTTP does not allow; left out", name);
}

/* evhttp wants each field by itself. */
static void tell_lines(struct evkeyvalq *out, struct slice lines)
{
    char *copy = xmalloc(lines.len + 1);
    *(char *)mempcpy(copy, lines.at, lines.len) = '\0';
    for (char *line = copy, *end; (end = strstr(line, "\r\n")) != NULL; line = end + 2) {
        char *colon = strstr(line, ": ");
        CHECK(colon != NULL && colon < end);
        *end = *colon = '\0';
        tell(out, line, colon + 2);
    }
    free(copy);
}

static void tell_fields(struct evhttp_request *ev, const struct http_fields *f)
{
    struct evkeyvalq *out = evhttp_request_get_output_headers(ev);
    for (int i = 0; i < f->count; i++)
        if (f->at[i].name.len > 0)
            tell(out, f->at[i].name.at, f->at[i].value.at);
        else
            tell_lines(out, f->at[i].value);
}

void http_evhttp_reply(struct http_answers *answers, struct http_request *r, int status, const struct http_fields *f,
                       const struct http_body *body)
{
    struct evhttp_request *ev = r->hold;
    struct http_conn *conn = r->conn; /* what is before it may find that the consumer is gone */
    struct evbuffer *buffer = evbuffer_new();
    CHECK(buffer != NULL);
    tell_fields(ev, f);
    if (body != NULL && body->release != NULL)
        http_loan_add(&answers->loans, buffer, gate_out(conn), body, clock_mono_us());
    else if (body != NULL)
        CHECK(evbuffer_add(buffer, body->bytes.at, body->bytes.len) == 0);
    evhttp_send_reply(ev, status, http_reason(status), buffer);
    evbuffer_free(buffer);
    gate_pull(conn);
}

/* evhttp makes chunks of the pieces, but for 1.0 it must not; and at the end of those it would end the connection
 * before the consumer has them. */
void http_evhttp_begin(struct http_request *r, int status, const struct http_fields *f)
{
    struct evhttp_request *ev = r->hold;
    char minor = ev->minor;
    tell_fields(ev, f);
    ev->minor = r->head->minor == 0 ? 0 : minor;
    evhttp_send_reply_start(ev, status, http_reason(status));
    ev->minor = minor;
    gate_pull(r->conn);
}

void http_evhttp_piece(struct http_request *r, struct slice bytes)
{
    struct evbuffer *buffer = evbuffer_new();
    CHECK(buffer != NULL && evbuffer_add(buffer, bytes.at, bytes.len) == 0);
    evhttp_send_reply_chunk(r->hold, buffer);
    evbuffer_free(buffer);
    gate_pull(r->conn);
}

void http_evhttp_end(struct http_request *r)
{
    if (r->conn != NULL)
        gate_hold(r->conn);
    evhttp_send_reply_end(r->hold);
    if (r->conn != NULL)
        gate_pull(r->conn);
}

void http_evhttp_forget(struct http_request *r)
{
    evhttp_send_reply(r->hold, 0, NULL, NULL);
}
