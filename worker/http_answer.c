#include "worker/http_answer.h"
#include "worker/gate.h"
#include "worker/problem.h"

#include <stdio.h>

enum { STATUS_LINE_BYTES = 80, OWN_FIELDS = 3, CHUNK_SIZE_BYTES = 20 };
/* Of an answer in pieces, for its consumer to take. */
enum { WAITING_LEAST = 64 << 10, WAITING_MOST = 1 << 20 };
/* evhttp must not see that a connection ends with an answer, or it would end it when the gate has the bytes, which is
 * before the consumer has them. It compares the value as it stands; a space before it means nothing (RFC 9110 5.5). */
#define CLOSE SLICE(" close")

/* ---- fields ---- */

const char *http_reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 202:
        return "Accepted";
    case 204:
        return "No Content";
    case 304:
        return "Not Modified";
    }
    return status < 300 ? "Success" : problem_title(status);
}

/* RFC 9110 5.6.7, as a whole line. */
static struct slice date_now(struct http_answers *answers)
{
    time_t now = time(NULL);
    if (now != answers->date_of) {
        struct tm tm;
        answers->date_of = now;
        strftime(answers->date, sizeof answers->date, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", gmtime_r(&now, &tm));
    }
    return slice_of(answers->date, HTTP_DATE_BYTES - 1);
}

static void add(struct http_fields *f, struct slice name, struct slice value)
{
    f->at[f->count++] = (struct http_header){name, value};
}

static void begin_fields(struct http_fields *f, struct http_answers *answers, const struct http_request *r, bool close,
                         const struct http_header *headers, int count)
{
    CHECK(count + OWN_FIELDS <= ANSWER_FIELDS_MAX);
    f->count = count;
    memcpy(f->at, headers, (size_t)count * sizeof *headers);
    add(f, SLICE(""), date_now(answers));
    if (close)
        add(f, SLICE("Connection"), CLOSE);
    else if (r->head->minor == 0)
        add(f, SLICE("Connection"), SLICE("keep-alive"));
}

/* RFC 9110 8.6: no length where there can be no body; that of a GET's for 304 is not known. */
static void add_length(struct http_fields *f, int status, size_t body_bytes)
{
    if (status != 204 && status != 304)
        add(f, SLICE("Content-Length"), digits_of(body_bytes, f->length));
}

/* ---- by the gate ---- */

/* "HTTP/1.1 200 OK" and the line's end. */
static struct slice status_line(int status, char text[STATUS_LINE_BYTES])
{
    if (status == 200)
        return SLICE("HTTP/1.1 200 OK\r\n");
    int len = snprintf(text, STATUS_LINE_BYTES, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
    CHECK(len < STATUS_LINE_BYTES);
    return slice_of(text, (size_t)len);
}

static char *put(char *at, struct slice bytes)
{
    return mempcpy(at, bytes.at, bytes.len);
}

/* What evhttp would have written. */
static void write_head(struct http_conn *conn, int status, const struct http_fields *f)
{
    char text[STATUS_LINE_BYTES];
    struct slice line = status_line(status, text);
    size_t most = line.len + 2;
    for (int i = 0; i < f->count; i++)
        most += f->at[i].name.len + f->at[i].value.len + 4;
    char *at = gate_room(conn, most), *start = at;
    at = put(at, line);
    for (int i = 0; i < f->count; i++) {
        const struct http_header *h = &f->at[i];
        if (h->name.len == 0) {
            at = put(at, h->value);
            continue;
        }
        at = put(put(at, h->name), SLICE(": "));
        at = put(put(at, h->value), SLICE("\r\n"));
    }
    at = put(at, SLICE("\r\n"));
    gate_wrote(conn, (size_t)(at - start));
}

static void reply_by_gate(struct http_answers *answers, struct http_request *r, int status, const struct http_fields *f,
                          const struct http_body *body)
{
    struct http_conn *conn = r->conn; /* what is before it may find that the consumer is gone */
    gate_begin(conn);
    write_head(conn, status, f);
    if (body != NULL && body->release != NULL) {
        struct evbuffer *out = gate_out(conn);
        http_loan_add(&answers->loans, out, out, body, r->ended_us);
    } else if (body != NULL) {
        gate_write(conn, body->bytes);
    }
}

/* A chunk, RFC 9112 7.1. */
static void write_chunk(struct http_conn *conn, struct slice bytes)
{
    char size[CHUNK_SIZE_BYTES];
    gate_write(conn, slice_of(size, (size_t)snprintf(size, sizeof size, "%zx\r\n", bytes.len)));
    gate_write(conn, bytes);
    gate_write(conn, SLICE("\r\n"));
}

/* ---- whole answers ---- */

void http_reply(struct http_request *r, int status, const struct http_header *headers, int count,
                const struct http_body *body)
{
    if (r->taker != NULL) {
        r->taker->reply(r, status, headers, count, body);
        return;
    }
    bool sends = r->conn != NULL && r->method != HTTP_HEAD && body->bytes.len > 0;
    if (r->conn != NULL) {
        struct http_answers *answers = http_answers_of(r->conn);
        struct http_fields f;
        bool close = !r->head->keep_alive || r->refusal.status != 0 || answers->last;
        begin_fields(&f, answers, r, close, headers, count);
        add_length(&f, status, body->bytes.len);
        if (r->hold != NULL)
            http_evhttp_reply(answers, r, status, &f, sends ? body : NULL);
        else
            reply_by_gate(answers, r, status, &f, sends ? body : NULL);
        if (!sends && body->release != NULL)
            body->release(body->arg);
        gate_answered(r, close);
        return;
    }
    if (body->release != NULL)
        body->release(body->arg);
    if (r->hold != NULL)
        http_evhttp_forget(r);
    gate_answered(r, true);
}

/* ---- answers in pieces ---- */

static bool is_chunked(const struct http_request *r)
{
    return r->head->minor > 0 && r->method != HTTP_HEAD;
}

void http_stream_begin(struct http_request *r, int status, const struct http_header *headers, int count)
{
    struct http_fields f;
    if (r->taker != NULL)
        r->taker->begin(r, status, headers, count);
    if (r->conn == NULL)
        return;
    struct http_answers *answers = http_answers_of(r->conn);
    r->closes = !r->head->keep_alive || answers->last || r->head->minor == 0;
    begin_fields(&f, answers, r, r->closes, headers, count);
    if (r->hold != NULL) {
        http_evhttp_begin(r, status, &f);
    } else {
        if (is_chunked(r))
            add(&f, SLICE("Transfer-Encoding"), SLICE("chunked"));
        write_head(r->conn, status, &f);
    }
    gate_push(r->conn);
}

void http_stream_add(struct http_request *r, struct slice bytes)
{
    if (r->taker != NULL)
        r->taker->add(r, bytes);
    if (r->conn == NULL || r->method == HTTP_HEAD || bytes.len == 0)
        return;
    if (r->hold != NULL)
        http_evhttp_piece(r, bytes);
    else if (is_chunked(r))
        write_chunk(r->conn, bytes);
    else
        gate_write(r->conn, bytes);
    gate_push(r->conn);
}

bool http_stream_is_full(const struct http_request *r)
{
    if (r->taker != NULL)
        return r->taker->is_full(r);
    size_t waiting = r->conn != NULL ? gate_waiting(r->conn) : 0;
    return waiting > WAITING_MOST || (waiting > WAITING_LEAST && gate_is_over_memory(r->conn));
}

void http_stream_end(struct http_request *r, bool whole)
{
    r->gone = NULL;
    if (r->taker != NULL) {
        r->taker->end(r, whole);
        return;
    }
    if (r->conn != NULL && !whole)
        gate_cut(r->conn); /* which leaves it NULL */
    if (r->hold != NULL)
        http_evhttp_end(r);
    else if (r->conn != NULL && is_chunked(r))
        gate_write(r->conn, SLICE("0\r\n\r\n"));
    gate_answered(r, r->closes);
}
