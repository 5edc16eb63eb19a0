#include "tests/fuzz/gate_reference.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

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
    return !plain_is_word(name, "Connection") && !plain_is_word(name, "Transfer-Encoding") &&
           !plain_is_word(name, "Content-Length") && !plain_is_word(name, "Expect");
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

void reference_setup(void)
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

/* evhttp closes first, and each connection that waits out its time then keeps a port: a fast machine runs out of them.
 */
static void close_by_reset(int fd)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
}

/* libFuzzer's alarm may interrupt it. */
static bool connect_client(void)
{
    int failed;
    do
        failed = connect(ev.client, (struct sockaddr *)&ev.address, sizeof ev.address);
    while (failed != 0 && errno == EINTR);
    if (failed != 0 && errno != EISCONN)
        fprintf(stderr, "connect: %s\n", strerror(errno));
    return failed == 0 || errno == EISCONN;
}

static void evhttp_connect(void)
{
    if (ev.client >= 0)
        close(ev.client);
    ev.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(ev.client >= 0);
    CHECK(connect_client());
    while (ev.shell == NULL)
        CHECK(event_base_loop(ev.base, EVLOOP_ONCE) == 0);
    close_by_reset(bufferevent_getfd(bufferevent_get_underlying(ev.shell)));
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
    CHECK(uri != NULL || starts_with(target, "//") || plain_is(ABSOLUTE, target));
    if (uri != NULL)
        evhttp_uri_free(uri);
    return uri != NULL;
}

bool reference_knows_method(struct slice method)
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
        if ((plain_is_word(name, "Transfer-Encoding") || plain_is_word(name, "Expect")) &&
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
void reference_compare(const struct http_head *head, const struct plain *p, struct slice raw, struct slice body)
{
    if (!reference_knows_method(p->method))
        return; /* it answers 501 and frames no body; perfd does not pass them to it either */
    compare_canonical(head, p->method, body);
    if (!p->extended && evhttp_knows_target(p->given) && evhttp_knows_values(head))
        check_evhttp(raw, p->method, p->given, NULL, body);
}
