/* worker/http_head.h and worker/http_chunks.h: what comes on a connection, read in a loop like the gate's. A second,
 * plain reader by regular expressions gives the same verdict on all that is whole, and the same request. However the
 * bytes are cut, the same is read. A real evhttp frames what was accepted in the same way. */
#include "common/buf.h"
#include "tests/fuzz/fuzz.h"
#include "worker/http_chunks.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <regex.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

/* Small, so that an input can reach them. CUT_MAX: above it an input is not also given byte by byte. */
enum { URI_MAX = 128, HEAD_MAX = 1024, BODY_MAX = 512, CUT_MAX = 96, CHUNK_LINE_MAX = 4096, INPUT_MAX = 1 << 16 };

/* ---- grammar ---- */

#define TOKEN "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
#define TARGET "[]A-Za-z0-9._~:/?@!$&'()*+,;=%[-]+"
#define QUOTED "\"([]\t !#-[^-~\x80-\xff]|\\\\[\t -~\x80-\xff])*\""

enum grammar { REQUEST_LINE, OTHER_VERSION, FIELD, ABSOLUTE, NAME_AND_PORT, PORT, DIGITS, SIZE_LINE, GRAMMARS };

/* RFC 9112 3, 5 and 7.1, RFC 9110 4.2 and 5.6.4, RFC 3986 3.2.2. ABSOLUTE is only told apart. */
static const char *const grammars[GRAMMARS] = {
    [REQUEST_LINE] = "^" TOKEN " " TARGET " HTTP/1\\.[01]$",
    [OTHER_VERSION] = "^" TOKEN " " TARGET " HTTP/([02-9]\\.[0-9]+|1\\.([2-9]|[0-9][0-9]+))$",
    [FIELD] = "^" TOKEN ":[\t -~\x80-\xff]*$",
    [ABSOLUTE] = "^[Hh][Tt][Tt][Pp][Ss]?://[^/?:]",
    [NAME_AND_PORT] = "^([A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f][0-9A-Fa-f])*(:[0-9]*)?$",
    [PORT] = "^(:[0-9]*)?$",
    [DIGITS] = "^[0-9]+$",
    [SIZE_LINE] = "^[0-9A-Fa-f]{1,15}([\t ]*;[\t ]*" TOKEN "([\t ]*=[\t ]*(" TOKEN "|" QUOTED "))?)*$",
};
static regex_t compiled[GRAMMARS];

/* The sanitizer's regexec() wants a NUL behind it. */
static bool is(enum grammar grammar, struct slice text)
{
    static char copy[INPUT_MAX + 1];
    regmatch_t range = {0, (regoff_t)text.len};
    CHECK(text.len <= INPUT_MAX);
    *(char *)mempcpy(copy, text.at, text.len) = '\0';
    return regexec(&compiled[grammar], copy, 0, &range, REG_STARTEND) == 0;
}

static bool is_word(struct slice s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.at, word, s.len) == 0;
}

static struct slice skip(struct slice s, size_t bytes)
{
    return slice_of(s.at + bytes, s.len - bytes);
}

/* Up to the separator, which is left out; without one all of it. */
static struct slice cut(struct slice *rest, char separator)
{
    const char *end = rest->len > 0 ? memchr(rest->at, separator, rest->len) : NULL;
    struct slice part = slice_of(rest->at, end != NULL ? (size_t)(end - rest->at) : rest->len);
    *rest = skip(*rest, part.len + (end != NULL));
    return part;
}

static bool cut_line(struct slice *rest, struct slice *line)
{
    const char *end = rest->len > 0 ? memmem(rest->at, rest->len, "\r\n", 2) : NULL;
    if (end == NULL)
        return false;
    *line = slice_of(rest->at, (size_t)(end - rest->at));
    *rest = skip(*rest, line->len + 2);
    return true;
}

static struct slice trim(struct slice s)
{
    while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t'))
        s = skip(s, 1);
    while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* ---- the plain reader ---- */

struct plain {
    struct slice method, target, host, given; /* given: the target as it came, an absolute form whole */
    size_t bytes;                             /* of the lines that are whole */
    int minor;
    int field_count;
    struct http_field fields[HTTP_FIELDS_MAX];
    int hosts, lengths, codings, expects;
    bool good_host, good_length, good_coding, expects_other, close, keep;
    bool extended; /* a chunk is */
    uint64_t length;
};

static bool is_authority(struct slice s)
{
    char address[64] = "";
    struct in6_addr v6;
    if (s.len == 0 || s.at[0] != '[')
        return is(NAME_AND_PORT, s);
    struct slice inside = cut(&s, ']');
    if (inside.len > sizeof address || !is(PORT, s) || s.at[-1] != ']')
        return false;
    memcpy(address, inside.at + 1, inside.len - 1);
    return strlen(address) == inside.len - 1 && inet_pton(AF_INET6, address, &v6) == 1;
}

static bool read_target(struct plain *p)
{
    p->target = p->given;
    if (slice_is(p->given, "*"))
        return slice_is(p->method, "OPTIONS");
    if (p->given.at[0] == '/')
        return true;
    if (!is(ABSOLUTE, p->given))
        return false;
    struct slice authority = skip(p->given, strlen("http://"));
    authority = skip(authority, authority.at[-1] != '/' || authority.at[-2] != '/');
    p->target = authority;
    while (p->target.len > 0 && p->target.at[0] != '/' && p->target.at[0] != '?')
        p->target = skip(p->target, 1);
    authority.len -= p->target.len;
    return is_authority(authority);
}

/* RFC 9110 8.6, below 2^63. A line's end follows the digits. */
static bool read_length(struct slice text, uint64_t *length)
{
    errno = 0;
    *length = is(DIGITS, text) ? strtoull(text.at, NULL, 10) : UINT64_MAX;
    return errno == 0 && *length <= INT64_MAX;
}

static void read_options(struct plain *p, struct slice list)
{
    while (list.len > 0) {
        struct slice option = trim(cut(&list, ','));
        p->close |= is_word(option, "close");
        p->keep |= is_word(option, "keep-alive");
    }
}

static void read_meaning(struct plain *p, struct slice name, struct slice value)
{
    if (is_word(name, "Host")) {
        p->hosts++;
        p->host = value;
        p->good_host = is_authority(value);
    } else if (is_word(name, "Content-Length")) {
        p->lengths++;
        p->good_length = read_length(value, &p->length);
    } else if (is_word(name, "Transfer-Encoding")) {
        p->codings++;
        p->good_coding = is_word(value, "chunked");
    } else if (is_word(name, "Expect")) {
        p->expects++;
        p->expects_other |= !is_word(value, "100-continue");
    } else if (is_word(name, "Connection")) {
        read_options(p, value);
    }
}

static bool is_consistent(const struct plain *p)
{
    bool body = p->codings > 0 || p->length > 0;
    return (p->hosts == 1 ? p->good_host : p->hosts == 0 && p->minor == 0) && p->lengths + p->codings <= 1 &&
           (p->lengths == 0 || p->good_length) && (p->codings == 0 || (p->good_coding && p->minor == 1)) &&
           !(p->expects_other && p->minor == 1) && !(body && slice_is(p->method, "HEAD"));
}

static bool read_field(struct slice line, struct http_field *out)
{
    if (!is(FIELD, line))
        return false;
    out->name = cut(&line, ':');
    out->value = trim(line);
    return true;
}

static enum http_read read_fields(struct slice *rest, struct http_field *fields, int *count)
{
    struct slice line;
    while (cut_line(rest, &line)) {
        if (line.len == 0)
            return HTTP_READ_WHOLE;
        if (*count == HTTP_FIELDS_MAX || !read_field(line, &fields[*count]))
            return HTTP_READ_BAD;
        ++*count;
    }
    return HTTP_READ_MORE;
}

/* MORE: no line that is whole is wrong. */
static enum http_read read_lines(struct slice *rest, struct plain *p)
{
    struct slice line;
    if (!cut_line(rest, &line))
        return HTTP_READ_MORE;
    if (!is(REQUEST_LINE, line))
        return HTTP_READ_BAD;
    p->method = cut(&line, ' ');
    p->given = cut(&line, ' ');
    p->minor = line.at[line.len - 1] - '0';
    if (p->given.len > URI_MAX || !read_target(p))
        return HTTP_READ_BAD;
    return read_fields(rest, p->fields, &p->field_count);
}

static enum http_read read_head(struct slice bytes, struct plain *p)
{
    struct slice rest = bytes;
    enum http_read read = read_lines(&rest, p);
    p->bytes = bytes.len - rest.len;
    if (read == HTTP_READ_BAD || (read == HTTP_READ_WHOLE ? p->bytes : bytes.len) > HEAD_MAX)
        return HTTP_READ_BAD;
    for (int i = 0; i < p->field_count; i++)
        read_meaning(p, p->fields[i].name, p->fields[i].value);
    return read == HTTP_READ_MORE || is_consistent(p) ? read : HTTP_READ_BAD;
}

/* *extended: one with its size has an extension. */
static enum http_read read_chunk(struct slice *rest, struct buf *body, size_t *size, bool *extended)
{
    struct slice line, data;
    if (!cut_line(rest, &line))
        return rest->len > CHUNK_LINE_MAX ? HTTP_READ_BAD : HTTP_READ_MORE;
    if (line.len >= CHUNK_LINE_MAX || !is(SIZE_LINE, line))
        return HTTP_READ_BAD;
    *size = strtoull(line.at, NULL, 16); /* it cannot begin with 0x: the grammar has no x */
    *extended |= memchr(line.at, ';', line.len) != NULL;
    if (*size == 0)
        return HTTP_READ_WHOLE;
    if (*size > BODY_MAX - body->len)
        return HTTP_READ_BAD;
    data = slice_of(rest->at, MIN(*size, rest->len));
    buf_add(body, data.at, data.len);
    *rest = skip(*rest, data.len);
    if (memcmp(rest->at, "\r\n", MIN(rest->len, (size_t)2)) != 0)
        return HTTP_READ_BAD;
    return cut_line(rest, &line) ? HTTP_READ_WHOLE : HTTP_READ_MORE;
}

/* MORE: of the lines and the data so far nothing is wrong; *rest is what of a line has come. */
static enum http_read read_chunks(struct slice *rest, struct buf *body, bool *extended)
{
    static struct http_field trailers[HTTP_FIELDS_MAX];
    size_t size = 1;
    int count = 0;
    enum http_read read = HTTP_READ_WHOLE;
    while (read == HTTP_READ_WHOLE && size > 0)
        read = read_chunk(rest, body, &size, extended);
    if (read != HTTP_READ_WHOLE)
        return read;
    struct slice from = *rest;
    read = read_fields(rest, trailers, &count);
    return (read == HTTP_READ_WHOLE ? from.len - rest->len : from.len) > HEAD_MAX ? HTTP_READ_BAD : read;
}

/* The gate may see that a line is wrong before it is whole. begun: bytes of such a line. */
static bool is_same_verdict(enum http_read gate, enum http_read plain, size_t begun)
{
    return gate == plain || (gate == HTTP_READ_BAD && plain == HTTP_READ_MORE && begun > 0);
}

/* ---- evhttp ---- */

/* One connection to it, kept while it lasts. As with the gate, evhttp holds a filter, and its input is filled here. */
static struct {
    struct event_base *base;
    struct sockaddr_in address;
    struct bufferevent *shell;
    int client;
    struct slice method, target, body;
    const struct http_head *fields; /* NULL: they are not compared */
    int requests;
} ev;

static const struct {
    const char *name;
    enum evhttp_cmd_type type;
} methods[] = {{"GET", EVHTTP_REQ_GET},        {"HEAD", EVHTTP_REQ_HEAD},   {"POST", EVHTTP_REQ_POST},
               {"PUT", EVHTTP_REQ_PUT},        {"PATCH", EVHTTP_REQ_PATCH}, {"DELETE", EVHTTP_REQ_DELETE},
               {"OPTIONS", EVHTTP_REQ_OPTIONS}};

/* What frames the body, and what ends the connection, is written anew. */
static bool is_passed(struct slice name)
{
    return !is_word(name, "Connection") && !is_word(name, "Transfer-Encoding") && !is_word(name, "Content-Length") &&
           !is_word(name, "Expect");
}

static void check_evhttp_fields(const struct evkeyvalq *fields)
{
    const struct evkeyval *field = fields->tqh_first;
    for (int i = 0; i < ev.fields->field_count; i++) {
        if (!is_passed(ev.fields->fields[i].name))
            continue;
        CHECK(field != NULL && slice_is(ev.fields->fields[i].name, field->key));
        CHECK(slice_is(ev.fields->fields[i].value, field->value));
        field = field->next.tqe_next;
    }
    CHECK(field != NULL && strcmp(field->key, "Content-Length") == 0 && field->next.tqe_next == NULL);
}

static void check_evhttp_method(enum evhttp_cmd_type type)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        CHECK(slice_is(ev.method, methods[i].name) == (methods[i].type == type));
}

static void on_evhttp_request(struct evhttp_request *request, void *arg)
{
    (void)arg;
    struct evbuffer *body = evhttp_request_get_input_buffer(request);
    size_t len = evbuffer_get_length(body);
    ev.requests++;
    CHECK(evbuffer_get_length(bufferevent_get_input(ev.shell)) == 0);
    check_evhttp_method(evhttp_request_get_command(request));
    CHECK(slice_is(ev.target, evhttp_request_get_uri(request)));
    CHECK(slice_eq(ev.body, slice_of((const char *)evbuffer_pullup(body, -1), len)));
    if (ev.fields != NULL)
        check_evhttp_fields(evhttp_request_get_input_headers(request));
    evhttp_send_reply(request, 204, "", NULL);
}

static enum bufferevent_filter_result drop_output(struct evbuffer *from, struct evbuffer *to, ev_ssize_t limit,
                                                  enum bufferevent_flush_mode mode, void *arg)
{
    (void)to, (void)limit, (void)mode, (void)arg;
    return evbuffer_drain(from, evbuffer_get_length(from)) == 0 ? BEV_OK : BEV_ERROR;
}

static void on_shell_freed(void *arg)
{
    (void)arg;
    ev.shell = NULL;
}

static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
    (void)arg;
    struct bufferevent *socket = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    CHECK(socket != NULL);
    ev.shell = bufferevent_filter_new(socket, NULL, drop_output, BEV_OPT_CLOSE_ON_FREE, on_shell_freed, NULL);
    CHECK(ev.shell != NULL);
    bufferevent_disable(socket, EV_READ | EV_WRITE);
    return ev.shell;
}

static void evhttp_setup(void)
{
    socklen_t len = sizeof ev.address;
    ev.base = event_base_new();
    CHECK(ev.base != NULL);
    struct evhttp *http = evhttp_new(ev.base);
    CHECK(http != NULL);
    evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_PUT |
                                         EVHTTP_REQ_PATCH | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS);
    evhttp_set_bevcb(http, on_accept, NULL);
    evhttp_set_gencb(http, on_evhttp_request, NULL);
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(http, "127.0.0.1", 0);
    CHECK(bound != NULL);
    CHECK(getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&ev.address, &len) == 0);
    ev.client = -1;
}

static void evhttp_connect(void)
{
    if (ev.client >= 0)
        close(ev.client);
    ev.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(ev.client >= 0);
    CHECK(connect(ev.client, (struct sockaddr *)&ev.address, sizeof ev.address) == 0);
    while (ev.shell == NULL)
        CHECK(event_base_loop(ev.base, EVLOOP_ONCE) == 0);
}

/* It reads one request, and all of the bytes for it. */
static void check_evhttp(struct slice bytes, struct slice method, struct slice target, const struct http_head *fields,
                         struct slice body)
{
    if (ev.shell == NULL)
        evhttp_connect();
    ev.method = method;
    ev.target = target;
    ev.body = body;
    ev.fields = fields;
    ev.requests = 0;
    CHECK(evbuffer_add(bufferevent_get_input(ev.shell), bytes.at, bytes.len) == 0);
    bufferevent_trigger(ev.shell, EV_READ, 0);
    CHECK(ev.requests == 1);
    if (ev.shell != NULL)
        bufferevent_flush(ev.shell, EV_WRITE, BEV_NORMAL); /* the answer is gone, the next request may come */
    event_base_loop(ev.base, EVLOOP_NONBLOCK);
}

/* evhttp refuses a port above 65535, and in //authority/path, which it takes for one without a scheme, more. */
static bool evhttp_knows_target(struct slice target)
{
    char copy[URI_MAX + 2] = "";
    memcpy(copy, target.at, target.len);
    struct evhttp_uri *uri = evhttp_uri_parse_with_flags(copy, EVHTTP_URI_NONCONFORMANT);
    CHECK(uri != NULL || starts_with(target, "//") || is(ABSOLUTE, target));
    if (uri != NULL)
        evhttp_uri_free(uri);
    return uri != NULL;
}

static bool evhttp_knows_method(struct slice method)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (slice_is(method, methods[i].name))
            return true;
    return false;
}

/* evhttp skips spaces before a value, but no TAB, and then does not know these. */
static bool evhttp_knows_values(const struct http_head *head)
{
    for (int i = 0; i < head->field_count; i++) {
        struct slice name = head->fields[i].name, value = head->fields[i].value;
        if ((is_word(name, "Transfer-Encoding") || is_word(name, "Expect")) &&
            memchr(name.at, '\t', (size_t)(value.at - name.at)) != NULL)
            return false;
    }
    return true;
}

/* Written as one who knows nothing but what was read would write it, with a length. */
static void compare_canonical(const struct http_head *head, struct slice method, struct slice body)
{
    struct buf target = {0}, text = {0};
    if (head->target.len == 0 || head->target.at[0] == '?')
        buf_addc(&target, '/'); /* RFC 9112 3.2.1 */
    buf_add(&target, head->target.at, head->target.len);
    buf_printf(&text, SLICE_FMT " " SLICE_FMT " HTTP/1.1\r\n", SLICE_ARG(method), SLICE_ARG(buf_slice(&target)));
    for (int i = 0; i < head->field_count; i++)
        if (is_passed(head->fields[i].name))
            buf_printf(&text, SLICE_FMT ": " SLICE_FMT "\r\n", SLICE_ARG(head->fields[i].name),
                       SLICE_ARG(head->fields[i].value));
    buf_printf(&text, "Content-Length: %zu\r\n\r\n", body.len);
    buf_add(&text, body.at, body.len);
    if (evhttp_knows_target(buf_slice(&target)))
        check_evhttp(buf_slice(&text), method, buf_slice(&target), head, body);
    buf_deinit(&target);
    buf_deinit(&text);
}

/* evhttp answers a chunk's extension with 413. */
static void compare_with_evhttp(const struct http_head *head, const struct plain *p, struct slice raw,
                                struct slice body)
{
    if (!evhttp_knows_method(p->method))
        return; /* it answers 501 and frames no body; perfd does not pass them to it either */
    compare_canonical(head, p->method, body);
    if (!p->extended && evhttp_knows_target(p->given) && evhttp_knows_values(head))
        check_evhttp(raw, p->method, p->given, NULL, body);
}

/* ---- the gate's loop ---- */

struct reading {
    bool whole;       /* all bytes are there at once, and stay */
    bool blank;       /* an empty line came before the request */
    bool in_body;     /* of head */
    bool refused;     /* for refusal */
    size_t taken;     /* bytes of all */
    const char *from; /* of the request */
    struct buf told;  /* the requests so far, as text */
    struct buf body;  /* what came of it */
    struct http_head head;
    struct plain plain;
    struct http_chunks chunks;
    struct http_refusal refusal;
};

static void check_within(struct slice s, struct slice bytes)
{
    CHECK(s.at >= bytes.at && s.at + s.len <= bytes.at + bytes.len);
}

static void check_head(const struct http_head *head, const struct plain *p, struct slice bytes)
{
    const char *name = http_method_names[head->method];
    CHECK(head->bytes == p->bytes && head->bytes <= bytes.len);
    CHECK(head->method == HTTP_OTHER ? !evhttp_knows_method(p->method) : slice_is(p->method, name));
    check_within(head->target, bytes);
    CHECK(slice_eq(head->target, p->target) && head->minor == p->minor);
    CHECK(head->field_count == p->field_count);
    for (int i = 0; i < head->field_count; i++) {
        check_within(head->fields[i].name, bytes);
        check_within(head->fields[i].value, bytes);
        CHECK(slice_eq(head->fields[i].name, p->fields[i].name));
        CHECK(slice_eq(head->fields[i].value, p->fields[i].value));
    }
    CHECK(http_head_field(head, "hoST", 4).at == p->host.at);
    CHECK(head->length == p->length && head->chunked == (p->codings == 1));
    CHECK(!(head->chunked && (head->length > 0 || head->minor == 0)));
    CHECK(head->expects_continue == (p->minor == 1 && p->expects > 0));
    CHECK(head->keep_alive == (!p->close && (p->minor == 1 || p->keep)));
}

/* The status has its reason, and the method is what came. */
static void check_refused_head(const struct http_refusal *why, enum http_method method, const struct plain *p,
                               struct slice bytes)
{
    struct slice rest = bytes, line = {0};
    size_t lines = 0;
    CHECK(why->code != NULL && why->detail != NULL);
    CHECK(method == HTTP_OTHER || slice_is(cut(&rest, ' '), http_method_names[method]));
    rest = bytes;
    for (size_t i = 0; i < bytes.len; i++)
        lines += bytes.at[i] == '\n';
    switch (why->status) {
    case 400:
        break;
    case 414:
        cut(&rest, ' ');
        CHECK(cut(&rest, ' ').len > URI_MAX);
        break;
    case 417:
        CHECK(p->expects_other && p->minor == 1);
        break;
    case 431:
        CHECK(bytes.len > HEAD_MAX || lines > HTTP_FIELDS_MAX);
        break;
    case 501:
        CHECK(p->codings == 1 && p->minor == 1 && p->lengths == 0);
        break;
    case 505:
        CHECK(cut_line(&rest, &line) && is(OTHER_VERSION, line));
        break;
    default:
        CHECK(!"a status that a head is not refused with");
    }
}

static void check_verdict(struct reading *r, enum http_read read, struct slice bytes)
{
    r->plain = (struct plain){0};
    enum http_read plain = read_head(bytes, &r->plain);
    CHECK(is_same_verdict(read, plain, bytes.len - r->plain.bytes));
    if (read == HTTP_READ_WHOLE)
        check_head(&r->head, &r->plain, bytes);
    if (read == HTTP_READ_BAD)
        check_refused_head(&r->refusal, r->head.method, &r->plain, bytes);
}

static void tell_head(struct buf *told, const struct http_head *head, struct slice method)
{
    buf_printf(told, SLICE_FMT " " SLICE_FMT " 1.%d %d%d%d %ju %zu\n", SLICE_ARG(method), SLICE_ARG(head->target),
               head->minor, head->keep_alive, head->chunked, head->expects_continue, (uintmax_t)head->length,
               head->bytes);
    for (int i = 0; i < head->field_count; i++)
        buf_printf(told, SLICE_FMT ":" SLICE_FMT "\n", SLICE_ARG(head->fields[i].name),
                   SLICE_ARG(head->fields[i].value));
}

/* raw: from its first byte to its last. */
static void end_request(struct reading *r, struct slice raw)
{
    struct slice body = buf_slice(&r->body);
    buf_printf(&r->told, "%zu ", body.len);
    buf_add(&r->told, body.at, body.len);
    if (r->whole)
        compare_with_evhttp(&r->head, &r->plain, raw, body);
    r->body.len = 0;
    r->in_body = false;
}

static bool take_head(struct reading *r, struct slice bytes, size_t *used)
{
    if (!r->blank && bytes.at[0] == '\r') {
        if (bytes.len < 2)
            return false;
        if (bytes.at[1] == '\n') {
            r->blank = true;
            *used = 2;
            return true;
        }
    }
    enum http_read read = http_head_read(bytes, URI_MAX, HEAD_MAX, &r->head, &r->refusal);
    check_verdict(r, read, bytes);
    r->refused = read == HTTP_READ_BAD;
    if (read != HTTP_READ_WHOLE)
        return false;
    tell_head(&r->told, &r->head, r->plain.method);
    r->blank = false;
    r->from = bytes.at;
    r->chunks = (struct http_chunks){0};
    *used = r->head.bytes;
    r->in_body = r->head.length > 0 || r->head.chunked;
    if (r->head.length > BODY_MAX) {
        r->refused = true;
        r->refusal.status = 413;
        return false;
    }
    if (!r->in_body)
        end_request(r, slice_of(bytes.at, *used));
    return true;
}

/* rest: all that came behind the head. */
static void check_chunks(struct reading *r, enum http_read read, struct slice rest, size_t used)
{
    struct buf body = {0};
    size_t came = rest.len;
    enum http_read plain = read_chunks(&rest, &body, &r->plain.extended);
    CHECK(is_same_verdict(read, plain, rest.len));
    if (read != HTTP_READ_BAD)
        CHECK(slice_eq(buf_slice(&body), buf_slice(&r->body)));
    if (read == HTTP_READ_WHOLE)
        CHECK(used == came - rest.len);
    buf_deinit(&body);
}

static void check_refused_chunks(const struct http_refusal *why)
{
    CHECK(why->code != NULL && why->detail != NULL);
    CHECK(why->status == 400 || why->status == 413 || why->status == 431);
}

static bool take_chunks(struct reading *r, struct slice bytes, size_t *used)
{
    enum http_read read = http_chunks_read(&r->chunks, bytes, BODY_MAX, HEAD_MAX, &r->body, used, &r->refusal);
    CHECK(*used <= bytes.len && r->body.len <= BODY_MAX);
    r->refused = read == HTTP_READ_BAD;
    if (read == HTTP_READ_MORE)
        CHECK(bytes.len - *used <= (size_t)MAX((int)HEAD_MAX, (int)CHUNK_LINE_MAX));
    if (read == HTTP_READ_BAD)
        check_refused_chunks(&r->refusal);
    if (r->whole)
        check_chunks(r, read, bytes, *used);
    if (read == HTTP_READ_WHOLE)
        end_request(r, slice_of(r->from, (size_t)(bytes.at + *used - r->from)));
    return read == HTTP_READ_WHOLE;
}

static bool take_body(struct reading *r, struct slice bytes, size_t *used)
{
    if (r->head.chunked)
        return take_chunks(r, bytes, used);
    *used = (size_t)MIN((uint64_t)bytes.len, r->head.length - r->body.len);
    buf_add(&r->body, bytes.at, *used);
    if (r->body.len < r->head.length)
        return false;
    end_request(r, slice_of(r->from, (size_t)(bytes.at + *used - r->from)));
    return true;
}

static void take(struct reading *r, struct slice bytes)
{
    bool more = true;
    while (more && bytes.len > 0) {
        size_t used = 0;
        more = r->in_body ? take_body(r, bytes, &used) : take_head(r, bytes, &used);
        CHECK(used <= bytes.len);
        r->taken += used;
        bytes = skip(bytes, used);
    }
}

/* The bytes come in pieces of up to so many. Each time what there is stands in a block of its own, so that the
 * sanitizer sees a read behind its end. */
static void feed(struct reading *r, struct slice all, size_t most, uint32_t random)
{
    r->whole = most == SIZE_MAX;
    for (size_t came = 0; came < all.len && !r->refused;) {
        random = random * 1664525 + 1013904223;
        came += r->whole ? all.len : MIN(1 + (random >> 8) % most, all.len - came);
        size_t len = came - r->taken;
        char *block = xmalloc(len);
        memcpy(block, all.at + r->taken, len);
        take(r, slice_of(block, len));
        free(block);
    }
}

/* What is too long and also wrong further on is refused for the one when it comes bit by bit, for the other when it is
 * all there: a head or trailers above HEAD_MAX; a version of more than 64 bytes, which is not waited for. */
static bool may_differ(const struct reading *whole, const struct reading *cut, struct slice all)
{
    return (cut->refusal.status == 431 && all.len - cut->taken > HEAD_MAX) ||
           (cut->refusal.status == 400 && whole->refusal.status == 505);
}

static void check_same(const struct reading *whole, const struct reading *cut, struct slice all)
{
    CHECK(slice_eq(buf_slice(&whole->told), buf_slice(&cut->told)));
    CHECK(slice_eq(buf_slice(&whole->body), buf_slice(&cut->body)));
    CHECK(!whole->refused || whole->head.method == cut->head.method);
    CHECK(whole->in_body == cut->in_body && whole->taken == cut->taken && whole->refused == cut->refused);
    if (whole->refused && whole->refusal.status != cut->refusal.status)
        CHECK(may_differ(whole, cut, all));
}

static void compare_cut(const struct reading *whole, struct slice all, size_t most, uint32_t random)
{
    static struct reading cut;
    cut = (struct reading){0};
    feed(&cut, all, most, random);
    check_same(whole, &cut, all);
    buf_deinit(&cut.told);
    buf_deinit(&cut.body);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    for (int i = 0; i < GRAMMARS; i++)
        CHECK(regcomp(&compiled[i], grammars[i], REG_EXTENDED | REG_NOSUB) == 0);
    evhttp_setup();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct reading whole;
    struct slice all = slice_of((const char *)data, MIN(size, (size_t)INPUT_MAX));
    uint32_t random = 2166136261; /* where it is cut depends on all of it (FNV-1a) */
    for (size_t i = 0; i < size; i++)
        random = (random ^ data[i]) * 16777619;
    whole = (struct reading){0};
    feed(&whole, all, SIZE_MAX, 0);
    compare_cut(&whole, all, 32, random);
    if (size <= CUT_MAX)
        compare_cut(&whole, all, 1, 0);
    buf_deinit(&whole.told);
    buf_deinit(&whole.body);
    return 0;
}
