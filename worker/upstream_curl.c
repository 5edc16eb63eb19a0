#include "worker/upstream_curl.h"
#include "common/clock.h"
#include "shm/doing.h"
#include "worker/upstream_head.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Two attempts to connect may race (RFC 8305), and the thread that resolves the name has a socket of its own. */
enum { SOCKETS_MAX = 6 };
enum { BODY_KEPT_BYTES = 1 << 20, BUFFER_BYTES = 64 << 10 };

/* A setting that libcurl refuses is our own mistake. */
#define SET(easy, option, value) CHECK(curl_easy_setopt(easy, CURLOPT_##option, value) == CURLE_OK)
#define SET_MULTI(multi, option, value) CHECK(curl_multi_setopt(multi, CURLMOPT_##option, value) == CURLM_OK)

struct curl_shared {
    struct event_base *base;
    const struct conf_upstream *conf;
    CURLSH *share;
    X509_STORE *authorities; /* NULL: no TLS, or nothing is verified */
};

struct socket {
    struct curl_conn *conn;
    struct event event;
    curl_socket_t fd; /* -1: not in use */
    short what;       /* that is waited for */
    bool ours;        /* it leads to the upstream */
};

struct curl_conn {
    struct curl_shared *shared;
    const struct curl_events *events;
    void *arg;
    CURL *easy;
    CURLM *multi;
    struct socket sockets[SOCKETS_MAX];
    struct event timer;
    bool busy;
    /* Of the request. */
    bool repeatable;
    int sends;
    struct curl_slist *fields;
    struct buf target;
    struct upstream_head head;
    struct buf body;
    bool answered, too_large;
    char error[CURL_ERROR_SIZE];
};

/* ---- what connections share ---- */

static X509_STORE *read_authorities(const char *ca, struct err *err)
{
    X509_STORE *store = X509_STORE_new();
    CHECK(store != NULL);
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN); /* one that another one has signed will do, as in libcurl */
    bool ok = ca != NULL ? X509_STORE_load_file(store, ca) == 1 : X509_STORE_set_default_paths(store) == 1;
    if (ok)
        return store;
    err_set(err, "%s: no certificate of an authority can be read", ca ? ca : "the system's authorities");
    X509_STORE_free(store);
    return NULL;
}

struct curl_shared *curl_shared_create(struct event_base *base, const struct conf_upstream *conf, struct err *err)
{
    static bool initialized;
    struct curl_shared *shared = xcalloc(1, sizeof *shared);
    shared->base = base;
    shared->conf = conf;
    if (!initialized)
        CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    initialized = true;
    shared->share = curl_share_init();
    CHECK(shared->share != NULL);
    CHECK(curl_share_setopt(shared->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS) == CURLSHE_OK);
    CHECK(curl_share_setopt(shared->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) == CURLSHE_OK);
    bool verifies = conf->verify && strncmp(conf->origin, "https:", 6) == 0;
    if (verifies && (shared->authorities = read_authorities(conf->ca, err)) == NULL)
        curl_shared_destroy(&shared);
    return shared;
}

void curl_shared_destroy(struct curl_shared **shared)
{
    X509_STORE_free((*shared)->authorities);
    curl_share_cleanup((*shared)->share);
    free(*shared);
    *shared = NULL;
}

/* ---- sockets and time ---- */

static struct socket *find_socket(struct curl_conn *conn, curl_socket_t fd)
{
    for (int i = 0; i < SOCKETS_MAX; i++)
        if (conn->sockets[i].fd == fd)
            return &conn->sockets[i];
    return NULL;
}

static struct socket *new_socket(struct curl_conn *conn, curl_socket_t fd)
{
    struct socket *s = find_socket(conn, -1);
    CHECK(s != NULL);
    s->fd = fd;
    s->what = 0;
    s->ours = false;
    return s;
}

static void on_socket(evutil_socket_t fd, short what, void *arg);

static void watch(struct socket *s, short what)
{
    if (s->what == what)
        return;
    if (s->what != 0)
        event_del(&s->event);
    s->what = what;
    event_assign(&s->event, s->conn->shared->base, s->fd, (short)(what | EV_PERSIST), on_socket, s);
    if (what != 0)
        event_add(&s->event, NULL);
}

static void drop_socket(struct socket *s)
{
    watch(s, 0);
    s->fd = -1;
}

/* What leads to the upstream is watched on when libcurl has done with it: whoever closes an idle connection is heard.
 */
static int on_socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    (void)easy, (void)socket_arg;
    struct curl_conn *conn = arg;
    struct socket *s = find_socket(conn, fd);
    if (what == CURL_POLL_REMOVE) {
        if (s != NULL && s->ours)
            watch(s, EV_READ);
        else if (s != NULL)
            drop_socket(s);
        return 0;
    }
    if (s == NULL)
        s = new_socket(conn, fd);
    watch(s, (short)((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0)));
    return 0;
}

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)purpose;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    new_socket(arg, fd)->ours = true;
    return fd;
}

static int on_close(void *arg, curl_socket_t fd)
{
    struct socket *s = find_socket(arg, fd);
    if (s != NULL)
        drop_socket(s);
    return close(fd);
}

static int on_timer_wanted(CURLM *multi, long after_ms, void *arg)
{
    (void)multi;
    struct curl_conn *conn = arg;
    const struct timeval after = {after_ms / 1000, after_ms % 1000 * 1000};
    if (after_ms < 0)
        event_del(&conn->timer);
    else
        event_add(&conn->timer, &after);
    return 0;
}

/* ---- an answer ---- */

static size_t on_field(char *line, size_t size, size_t count, void *arg)
{
    struct curl_conn *conn = arg;
    conn->answered = true;
    conn->too_large = !upstream_head_add(&conn->head, slice_of(line, size * count));
    return conn->too_large ? 0 : size * count;
}

static size_t on_bytes(char *bytes, size_t size, size_t count, void *arg)
{
    struct curl_conn *conn = arg;
    conn->too_large = conn->body.len + size * count > (size_t)conn->shared->conf->max_response_bytes;
    if (conn->too_large)
        return 0;
    buf_add(&conn->body, bytes, size * count);
    return size * count;
}

/* libcurl sends anew what it sent on a connection that turns out to be closed, whatever the method is. */
static int on_sending(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
    (void)remote_ip, (void)local_ip, (void)remote_port, (void)local_port;
    struct curl_conn *conn = arg;
    return conn->sends++ == 0 || conn->repeatable ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static enum upstream_fail fail_of(const struct curl_conn *conn, CURLcode code)
{
    if (conn->too_large || code == CURLE_FILESIZE_EXCEEDED)
        return UPSTREAM_TOO_LARGE;
    if (code == CURLE_OK) /* so it is too when the connection ends within the head */
        return conn->head.whole ? UPSTREAM_OK : UPSTREAM_BROKEN;
    if (code == CURLE_OPERATION_TIMEDOUT)
        return UPSTREAM_TIMEOUT;
    bool strange = code == CURLE_WEIRD_SERVER_REPLY || code == CURLE_UNSUPPORTED_PROTOCOL ||
                   code == CURLE_BAD_CONTENT_ENCODING || code == CURLE_PARTIAL_FILE;
    return strange || conn->answered ? UPSTREAM_BROKEN : UPSTREAM_DOWN;
}

static bool is_connected(const struct curl_conn *conn)
{
    for (int i = 0; i < SOCKETS_MAX; i++)
        if (conn->sockets[i].fd >= 0 && conn->sockets[i].ours)
            return true;
    return false;
}

static void read_result(struct curl_conn *conn, CURLcode code, struct curl_result *result)
{
    long connects = 0;
    curl_easy_getinfo(conn->easy, CURLINFO_NUM_CONNECTS, &connects);
    *result = (struct curl_result){.outcome = {.fail = fail_of(conn, code),
                                               .message = conn->error[0] ? conn->error : curl_easy_strerror(code),
                                               .status = conn->head.status,
                                               .headers = upstream_head_fields(&conn->head),
                                               .header_count = conn->head.count,
                                               .body = buf_slice(&conn->body),
                                               .sent = conn->sends > 0},
                                   .answered = conn->answered,
                                   .opened = connects > 0,
                                   .stays = code == CURLE_OK && is_connected(conn),
                                   .resent = conn->sends > 1};
}

/* The last thing that its callers do: the connection may be gone. */
static void tell_end(struct curl_conn *conn)
{
    int left;
    struct curl_result result;
    const CURLMsg *message = curl_multi_info_read(conn->multi, &left);
    if (message == NULL)
        return;
    CHECK(message->msg == CURLMSG_DONE);
    CURLcode code = message->data.result;
    curl_multi_remove_handle(conn->multi, conn->easy);
    conn->busy = false;
    event_del(&conn->timer);
    read_result(conn, code, &result);
    conn->events->ended(conn->arg, &result);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct curl_conn *conn = ((struct socket *)arg)->conn;
    int running, mask = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
    doing(DOING_upstream);
    if (!conn->busy) {
        conn->events->lost(conn->arg);
        return;
    }
    curl_multi_socket_action(conn->multi, fd, mask, &running);
    tell_end(conn);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct curl_conn *conn = arg;
    int running;
    if (!conn->busy)
        return;
    curl_multi_socket_action(conn->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    tell_end(conn);
}

/* ---- a connection ---- */

static CURLcode on_tls(CURL *easy, void *context, void *arg)
{
    (void)easy;
    const struct curl_shared *shared = arg;
    SSL_CTX_set1_cert_store(context, shared->authorities);
    return CURLE_OK;
}

/* Reading the authorities' certificates takes milliseconds: libcurl would do so at each connect, we did it once. */
static void set_tls(CURL *easy, struct curl_shared *shared)
{
    SET(easy, SSL_VERIFYPEER, shared->conf->verify ? 1L : 0L);
    SET(easy, SSL_VERIFYHOST, shared->conf->verify ? 2L : 0L);
    SET(easy, CAINFO, NULL);
    SET(easy, CAPATH, NULL);
    if (shared->authorities == NULL)
        return;
    SET(easy, SSL_CTX_FUNCTION, on_tls);
    SET(easy, SSL_CTX_DATA, shared);
}

/* Where it may go: nowhere but to the upstream itself. */
static void set_limits(CURL *easy, const struct conf_upstream *conf)
{
    SET(easy, URL, conf->origin);
    SET(easy, PROTOCOLS_STR, "http,https");
    SET(easy, PROXY, "");
    SET(easy, NOPROXY, "*");
    SET(easy, FOLLOWLOCATION, 0L);
    SET(easy, NETRC, (long)CURL_NETRC_IGNORED);
    SET(easy, HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(easy, CONNECTTIMEOUT_MS, (long)MAX(conf->connect_timeout_us / US_PER_MS, 1));
    SET(easy, MAXFILESIZE_LARGE, (curl_off_t)conf->max_response_bytes);
    SET(easy, MAXAGE_CONN, 366L * 86400L); /* when it has idled too long is the pool's to say */
    SET(easy, BUFFERSIZE, (long)BUFFER_BYTES);
    SET(easy, NOSIGNAL, 1L);
    SET(easy, QUICK_EXIT, 1L); /* or a name that takes long to resolve blocks the end of what waits for it */
    SET(easy, USERAGENT, "perfd/" PERFD_VERSION);
    SET(easy, ACCEPT_ENCODING, "identity"); /* decodes what comes compressed all the same */
}

static void set_callbacks(CURL *easy, struct curl_conn *conn)
{
    SET(easy, ERRORBUFFER, conn->error);
    SET(easy, HEADERFUNCTION, on_field);
    SET(easy, HEADERDATA, conn);
    SET(easy, WRITEFUNCTION, on_bytes);
    SET(easy, WRITEDATA, conn);
    SET(easy, OPENSOCKETFUNCTION, on_open);
    SET(easy, OPENSOCKETDATA, conn);
    SET(easy, CLOSESOCKETFUNCTION, on_close);
    SET(easy, CLOSESOCKETDATA, conn);
    SET(easy, PREREQFUNCTION, on_sending);
    SET(easy, PREREQDATA, conn);
}

struct curl_conn *curl_conn_create(struct curl_shared *shared, const struct curl_events *events, void *arg)
{
    struct curl_conn *conn = xcalloc(1, sizeof *conn);
    conn->shared = shared;
    conn->events = events;
    conn->arg = arg;
    for (int i = 0; i < SOCKETS_MAX; i++) {
        conn->sockets[i].conn = conn;
        conn->sockets[i].fd = -1;
    }
    event_assign(&conn->timer, shared->base, -1, 0, on_timer, conn);
    conn->easy = curl_easy_init();
    conn->multi = curl_multi_init();
    CHECK(conn->easy != NULL && conn->multi != NULL);
    set_limits(conn->easy, shared->conf);
    set_tls(conn->easy, shared);
    set_callbacks(conn->easy, conn);
    SET(conn->easy, SHARE, shared->share);
    SET_MULTI(conn->multi, MAXCONNECTS, 1L);
    SET_MULTI(conn->multi, SOCKETFUNCTION, on_socket_wanted);
    SET_MULTI(conn->multi, SOCKETDATA, conn);
    SET_MULTI(conn->multi, TIMERFUNCTION, on_timer_wanted);
    SET_MULTI(conn->multi, TIMERDATA, conn);
    return conn;
}

void curl_conn_destroy(struct curl_conn **doomed)
{
    struct curl_conn *conn = *doomed;
    *doomed = NULL;
    if (conn->busy)
        curl_multi_remove_handle(conn->multi, conn->easy);
    curl_easy_cleanup(conn->easy);
    curl_multi_cleanup(conn->multi);
    for (int i = 0; i < SOCKETS_MAX; i++)
        if (conn->sockets[i].fd >= 0)
            drop_socket(&conn->sockets[i]);
    event_del(&conn->timer);
    curl_slist_free_all(conn->fields);
    buf_deinit(&conn->target);
    buf_deinit(&conn->body);
    upstream_head_deinit(&conn->head);
    free(conn);
}

/* ---- a request ---- */

static void add_field(struct curl_conn *conn, const char *line)
{
    struct curl_slist *fields = curl_slist_append(conn->fields, line);
    CHECK(fields != NULL);
    conn->fields = fields;
}

/* "Name;" is an empty field for libcurl, "Name:" none of its own. */
static void set_fields(struct curl_conn *conn, const struct upstream_request *request)
{
    struct buf line = {0};
    curl_slist_free_all(conn->fields);
    conn->fields = NULL;
    add_field(conn, "Expect:");
    add_field(conn, "Accept:");
    add_field(conn, "Content-Type:");
    for (int i = 0; i < request->header_count; i++) {
        const struct http_header *h = &request->headers[i];
        line.len = 0;
        buf_printf(&line, SLICE_FMT "%s" SLICE_FMT, SLICE_ARG(h->name), h->value.len > 0 ? ": " : ";",
                   SLICE_ARG(h->value));
        buf_addc(&line, '\0');
        add_field(conn, line.at);
    }
    buf_deinit(&line);
    SET(conn->easy, HTTPHEADER, conn->fields);
}

/* RFC 9110 9.3: a POST, PUT or PATCH has a body, be it empty. */
static void set_method(struct curl_conn *conn, const struct upstream_request *request)
{
    bool bodied = request->body.len > 0 || request->method == METHOD_POST || request->method == METHOD_PUT ||
                  request->method == METHOD_PATCH;
    if (bodied) {
        SET(conn->easy, POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
        SET(conn->easy, POSTFIELDS, request->body.len > 0 ? request->body.at : "");
    } else {
        SET(conn->easy, HTTPGET, 1L);
    }
    SET(conn->easy, CUSTOMREQUEST, request->method == METHOD_GET ? NULL : method_names[request->method]);
}

static void set_target(struct curl_conn *conn, struct slice target)
{
    const char *base = conn->shared->conf->base;
    conn->target.len = 0;
    buf_adds(&conn->target, base);
    buf_add(&conn->target, target.at, target.len);
    buf_addc(&conn->target, '\0');
    SET(conn->easy, REQUEST_TARGET, conn->target.at);
}

static void forget_last(struct curl_conn *conn)
{
    upstream_head_reset(&conn->head);
    if (conn->body.cap > BODY_KEPT_BYTES)
        buf_deinit(&conn->body);
    conn->body.len = 0;
    conn->answered = conn->too_large = false;
    conn->sends = 0;
    conn->error[0] = '\0';
}

void curl_conn_send(struct curl_conn *conn, const struct upstream_request *request, int64_t timeout_us)
{
    int running;
    CHECK(!conn->busy);
    forget_last(conn);
    conn->busy = true;
    conn->repeatable =
        request->method == METHOD_GET || request->method == METHOD_PUT || request->method == METHOD_DELETE;
    set_target(conn, request->target);
    set_method(conn, request);
    set_fields(conn, request);
    SET(conn->easy, TIMEOUT_MS, (long)MAX(timeout_us / US_PER_MS, 1));
    CHECK(curl_multi_add_handle(conn->multi, conn->easy) == CURLM_OK);
    curl_multi_socket_action(conn->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    if (running == 0)
        event_active(&conn->timer, EV_TIMEOUT, 1); /* it has failed: told from the loop */
}
