/* TLS 1.2 and 1.3 on memory: the gate reads and writes the socket, this turns what it read into text and text into what
 * it writes. The only file that knows OpenSSL. */
#ifndef WORKER_TLS_H
#define WORKER_TLS_H

#include "common/conf.h"
#include "common/slice.h"
#include "worker/tls_files.h"

struct tls;      /* the certificates of a configuration */
struct tls_conn; /* one consumer's session */

/* Session tickets are sealed by them. All workers of a perfd have the same, or a consumer that comes back would have to
 * begin anew at another worker. */
enum { TLS_TICKET_BYTES = 80 };
struct tls_tickets {
    uint8_t bytes[TLS_TICKET_BYTES];
};

/* tickets NULL: for trying the certificates alone. NULL with err: "file:line:column: what is wrong". */
struct tls *tls_create(const struct conf *conf, const struct tls_files *files, const struct tls_tickets *tickets,
                       struct err *err) MUST_USE;
void tls_destroy(struct tls **tls);
/* Whether they can be loaded. Blocks on the files. */
bool tls_check(const struct conf *conf, struct err *err) MUST_USE;

struct tls_conn *tls_conn_create(const struct tls *tls) MUST_USE;
void tls_conn_destroy(struct tls_conn **conn);

void tls_conn_feed(struct tls_conn *conn, struct slice received);
enum tls_read {
    TLS_TEXT,  /* so many bytes of it are at `at` */
    TLS_MORE,  /* nothing until more is fed */
    TLS_ENDED, /* the consumer said that it sends no more */
    TLS_FAILED /* what came is no TLS, or not as it was agreed */
};
/* Whatever it returns, there may be output to send. */
enum tls_read tls_conn_read(struct tls_conn *conn, char *at, size_t room, size_t *len_out);
bool tls_conn_is_open(const struct tls_conn *conn); /* the handshake is over */

/* Its handshake needs a private key that takes long: RSA (2048 bits 1 ms, 4096 bits 6 ms), or a curve larger than P-256
 * (P-384 1 ms, P-256 26 us; openssl speed). */
bool tls_conn_is_slow(const struct tls_conn *conn);
/* The next step of a handshake, of what was fed. In any thread, while nobody else touches the session; what became of
 * it tls_conn_read() tells. */
void tls_conn_shake(struct tls_conn *conn);

bool tls_conn_write(struct tls_conn *conn, struct slice text) MUST_USE; /* false: it failed */
void tls_conn_end(struct tls_conn *conn);                               /* tells the consumer that no more comes */
/* What is to be sent, and that so much of it was taken. */
struct slice tls_conn_output(struct tls_conn *conn);
void tls_conn_sent(struct tls_conn *conn);

#endif
