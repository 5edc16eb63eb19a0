#include "common/clock.h"
#include "shm/doing.h"
#include "worker/gate_conn.h"
#include "worker/offload.h"
#include "worker/tls.h"

#include <stdlib.h>

/* A step that a thread does. The session is its own as long as that takes: a connection that ends meanwhile leaves it
 * behind. */
struct shake {
    struct http_conn *conn; /* not looked at when it is dropped */
    struct tls_conn *tls;
};

bool conn_is_handshaking(const struct http_conn *conn)
{
    return conn->tls != NULL && (conn->shake != NULL || !tls_conn_is_open(conn->tls));
}

static void run(void *arg)
{
    struct shake *s = arg;
    tls_conn_shake(s->tls);
}

static void on_done(void *arg)
{
    struct shake *s = arg;
    struct http_conn *conn = s->conn;
    free(s);
    conn->shake = NULL;
    if (conn->state == GATE_DEAD)
        return;
    doing(DOING_tls);
    event_add(&conn->readable, NULL);
    conn_read_sealed(conn, clock_mono_us());
}

static void on_drop(void *arg)
{
    struct shake *s = arg;
    tls_conn_destroy(&s->tls);
    free(s);
}

bool conn_shake(struct http_conn *conn)
{
    static const struct offload_work work = {run, on_done, on_drop};
    struct gate *g = conn->gate;
    doing(DOING_tls);
    if (g->offload == NULL || !tls_conn_is_slow(conn->tls))
        return false;
    struct shake *s = xmalloc(sizeof *s);
    *s = (struct shake){conn, conn->tls};
    conn->shake = offload_start(g->offload, OFFLOAD_TLS, &work, s);
    if (conn->shake == NULL) {
        free(s);
        return false;
    }
    event_del(&conn->readable); /* what comes now is for the step after it */
    return true;
}

void conn_end_tls(struct http_conn *conn)
{
    if (conn->shake == NULL) {
        tls_conn_destroy(&conn->tls);
        return;
    }
    conn->tls = NULL;
    offload_forget(conn->gate->offload, &conn->shake);
}
