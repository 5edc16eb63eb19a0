#include "worker/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

struct certificate {
    SSL_CTX *ctx;
    X509 *x509; /* borrowed from ctx */
};

struct tls {
    struct certificate *certificates; /* the first is for who asks for no name, or for one that none has */
    int count;
    bool slow; /* one of them, at least */
};

struct tls_conn {
    SSL *ssl;
    BIO *in, *out; /* ssl's own */
    bool slow;
    bool failed; /* by tls_conn_shake(); nothing more may be asked of it then (SSL_get_error(3)) */
};

/* ---- certificates ---- */

static const char *reason(void)
{
    unsigned long code = ERR_get_error();
    ERR_clear_error();
    return code != 0 ? ERR_reason_error_string(code) : "cannot be read";
}

static bool bad(const struct conf_certificate *c, const char *file, const char *what, struct err *err)
{
    return err_set(err, "%s:%d:%d: %s: %s", c->pos.file, c->pos.line, c->pos.column, file, what);
}

static bool fits_name(const struct certificate *c, const char *name)
{
    return X509_check_host(c->x509, name, 0, 0, NULL) == 1;
}

static int on_name(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    const struct tls *tls = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    for (int i = 0; name != NULL && i < tls->count; i++)
        if (fits_name(&tls->certificates[i], name)) {
            SSL_set_SSL_CTX(ssl, tls->certificates[i].ctx);
            break;
        }
    return SSL_TLSEXT_ERR_OK;
}

/* RFC 7301: one that speaks other protocols alone is told so by the handshake. */
static int on_protocols(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                        unsigned in_len, void *arg)
{
    static const unsigned char known[] = "\x08http/1.1";
    (void)ssl, (void)arg;
    return SSL_select_next_proto((unsigned char **)(void *)out, out_len, known, sizeof known - 1, in, in_len) ==
                   OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void settle(const struct conf *conf, const struct tls *tls, const struct tls_tickets *tickets, SSL_CTX *ctx)
{
    static const unsigned char name[] = "perfd";
    SSL_CTX_set_min_proto_version(ctx, conf->tls.min_version == 0 ? TLS1_2_VERSION : TLS1_3_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                 SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets are enough, and are good at any worker */
    SSL_CTX_set_session_id_context(ctx, name, sizeof name - 1);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_name);
    SSL_CTX_set_tlsext_servername_arg(ctx, (void *)(uintptr_t)tls);
    SSL_CTX_set_alpn_select_cb(ctx, on_protocols, NULL);
    if (tickets != NULL)
        CHECK(SSL_CTX_set_tlsext_ticket_keys(ctx, (void *)(uintptr_t)tickets->bytes, TLS_TICKET_BYTES) == 1);
}

/* A key that asks for a pass phrase would ask at the terminal. */
static int no_phrase(char *buf, int size, int writing, void *arg)
{
    (void)buf, (void)size, (void)writing, (void)arg;
    return -1;
}

static BIO *open_text(struct slice text)
{
    BIO *bio = BIO_new_mem_buf(text.at, (int)text.len);
    CHECK(bio != NULL);
    return bio;
}

/* The certificate comes first, then those that lead to its authority. */
static bool use_chain(SSL_CTX *ctx, struct slice text)
{
    BIO *bio = open_text(text);
    X509 *x509 = PEM_read_bio_X509_AUX(bio, NULL, no_phrase, NULL);
    bool ok = x509 != NULL && SSL_CTX_use_certificate(ctx, x509) == 1;
    X509_free(x509);
    while (ok && (x509 = PEM_read_bio_X509(bio, NULL, no_phrase, NULL)) != NULL)
        ok = SSL_CTX_add0_chain_cert(ctx, x509) == 1;
    BIO_free(bio);
    if (!ok || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return false;
    ERR_clear_error(); /* that nothing follows is the end */
    return true;
}

static bool use_key(SSL_CTX *ctx, struct slice text)
{
    BIO *bio = open_text(text);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_phrase, NULL);
    bool ok = key != NULL && SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    EVP_PKEY_free(key);
    BIO_free(bio);
    return ok;
}

static bool load(struct certificate *c, const struct conf_certificate *conf, struct slice chain, struct slice key,
                 struct err *err)
{
    c->ctx = SSL_CTX_new(TLS_server_method());
    CHECK(c->ctx != NULL);
    ERR_clear_error();
    if (!use_chain(c->ctx, chain))
        return bad(conf, conf->file, reason(), err);
    if (!use_key(c->ctx, key))
        return bad(conf, conf->key_file, reason(), err);
    c->x509 = SSL_CTX_get0_certificate(c->ctx);
    return true;
}

static bool is_slow(const struct certificate *c)
{
    const EVP_PKEY *key = SSL_CTX_get0_privatekey(c->ctx);
    int type = EVP_PKEY_get_base_id(key);
    return type != EVP_PKEY_ED25519 && (type != EVP_PKEY_EC || EVP_PKEY_get_bits(key) > 256);
}

struct tls *tls_create(const struct conf *conf, const struct tls_files *files, const struct tls_tickets *tickets,
                       struct err *err)
{
    struct tls *tls = xcalloc(1, sizeof *tls);
    tls->count = conf->tls.certificate_count;
    tls->certificates = xcalloc((size_t)tls->count, sizeof *tls->certificates);
    for (int i = 0; i < tls->count; i++) {
        if (!load(&tls->certificates[i], &conf->tls.certificates[i], tls_files_chain(files, i), tls_files_key(files, i),
                  err)) {
            tls_destroy(&tls);
            return NULL;
        }
        settle(conf, tls, tickets, tls->certificates[i].ctx);
        tls->slow |= is_slow(&tls->certificates[i]);
    }
    return tls;
}

void tls_destroy(struct tls **tls)
{
    if (*tls == NULL)
        return;
    for (int i = 0; i < (*tls)->count; i++)
        SSL_CTX_free((*tls)->certificates[i].ctx);
    free((*tls)->certificates);
    free(*tls);
    *tls = NULL;
}

bool tls_check(const struct conf *conf, struct err *err)
{
    struct tls_files *files = tls_files_read(conf, err);
    struct tls *tls = files != NULL ? tls_create(conf, files, NULL, err) : NULL;
    bool ok = tls != NULL;
    tls_destroy(&tls);
    tls_files_destroy(&files);
    return ok;
}

/* ---- sessions ---- */

struct tls_conn *tls_conn_create(const struct tls *tls)
{
    struct tls_conn *c = xcalloc(1, sizeof *c);
    c->ssl = SSL_new(tls->certificates[0].ctx);
    c->in = BIO_new(BIO_s_mem());
    c->out = BIO_new(BIO_s_mem());
    CHECK(c->ssl != NULL && c->in != NULL && c->out != NULL);
    BIO_set_mem_eof_return(c->in, -1); /* empty: more may come */
    BIO_set_mem_eof_return(c->out, -1);
    SSL_set_bio(c->ssl, c->in, c->out);
    SSL_set_accept_state(c->ssl);
    c->slow = tls->slow; /* which one it will be the consumer has not said yet */
    return c;
}

void tls_conn_destroy(struct tls_conn **c)
{
    if (*c == NULL)
        return;
    SSL_free((*c)->ssl);
    free(*c);
    *c = NULL;
}

void tls_conn_feed(struct tls_conn *c, struct slice received)
{
    CHECK(received.len == 0 || BIO_write(c->in, received.at, (int)received.len) == (int)received.len);
}

enum tls_read tls_conn_read(struct tls_conn *c, char *at, size_t room, size_t *len_out)
{
    ERR_clear_error();
    *len_out = 0;
    if (c->failed)
        return TLS_FAILED;
    while (*len_out < room) {
        size_t n;
        if (SSL_read_ex(c->ssl, at + *len_out, room - *len_out, &n) == 1) {
            *len_out += n;
            continue;
        }
        int why = SSL_get_error(c->ssl, 0);
        if (*len_out > 0)
            return TLS_TEXT; /* an end is told by the next call again */
        return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? TLS_MORE
               : why == SSL_ERROR_ZERO_RETURN                            ? TLS_ENDED
                                                                         : TLS_FAILED;
    }
    return TLS_TEXT;
}

bool tls_conn_is_open(const struct tls_conn *c)
{
    return SSL_is_init_finished(c->ssl);
}

bool tls_conn_is_slow(const struct tls_conn *c)
{
    return c->slow && !tls_conn_is_open(c);
}

void tls_conn_shake(struct tls_conn *c)
{
    ERR_clear_error();
    int result = SSL_do_handshake(c->ssl);
    int why = result == 1 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, result);
    c->failed = why != SSL_ERROR_NONE && why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE;
}

bool tls_conn_write(struct tls_conn *c, struct slice text)
{
    size_t n;
    ERR_clear_error();
    return text.len == 0 || (SSL_write_ex(c->ssl, text.at, text.len, &n) == 1 && n == text.len);
}

void tls_conn_end(struct tls_conn *c)
{
    ERR_clear_error();
    if (SSL_is_init_finished(c->ssl))
        (void)SSL_shutdown(c->ssl); /* the other's word is not waited for */
}

struct slice tls_conn_output(struct tls_conn *c)
{
    char *at;
    long len = BIO_get_mem_data(c->out, &at);
    return slice_of(at, len > 0 ? (size_t)len : 0);
}

void tls_conn_sent(struct tls_conn *c)
{
    (void)BIO_reset(c->out);
}
