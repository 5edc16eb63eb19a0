#include "worker/http_loan.h"
#include "common/clock.h"

#include <event2/buffer.h>
#include <stdlib.h>

/* A consumer that takes its body within this time is not worth a copy. */
#define PATIENCE_US US_PER_S

struct http_loan {
    struct http_loans *loans;
    struct http_body body;
    struct evbuffer *stream; /* NULL: it was copied out once */
    int64_t since_us;
    struct http_loan *next, *prev;
};

static void end(const void *bytes, size_t len, void *arg)
{
    (void)bytes, (void)len;
    struct http_loan *loan = arg;
    *(loan->prev ? &loan->prev->next : &loan->loans->first) = loan->next;
    if (loan->next != NULL)
        loan->next->prev = loan->prev;
    loan->loans->count--;
    loan->body.release(loan->body.arg);
    free(loan);
}

void http_loan_add(struct http_loans *loans, struct evbuffer *to, struct evbuffer *stream, const struct http_body *body,
                   int64_t now_us)
{
    struct http_loan *loan = xcalloc(1, sizeof *loan);
    *loan = (struct http_loan){loans, *body, stream, now_us, loans->first, NULL};
    if (loan->next != NULL)
        loan->next->prev = loan;
    loans->first = loan;
    loans->count++;
    CHECK(evbuffer_add_reference(to, body->bytes.at, body->bytes.len, end, loan) == 0);
}

static void free_copy(const void *bytes, size_t len, void *arg)
{
    (void)bytes, (void)len;
    free(arg);
}

static void own_output(struct evbuffer *output)
{
    size_t len = evbuffer_get_length(output);
    char *copy = xmalloc(MAX(len, (size_t)1));
    CHECK(evbuffer_copyout(output, copy, len) == (ev_ssize_t)len);
    CHECK(evbuffer_drain(output, len) == 0);
    CHECK(evbuffer_add_reference(output, copy, len, free_copy, copy) == 0);
}

/* Draining ends loans of the same stream, so the list is gone through anew after each. */
static struct http_loan *next_wanted(const struct http_loans *loans, int64_t now_us)
{
    for (struct http_loan *loan = loans->first; loan != NULL; loan = loan->next)
        if (loan->stream != NULL && now_us - loan->since_us >= PATIENCE_US && loan->body.is_wanted(loan->body.arg))
            return loan;
    return NULL;
}

void http_loans_return(struct http_loans *loans, int64_t now_us)
{
    struct http_loan *loan;
    while ((loan = next_wanted(loans, now_us)) != NULL) {
        struct evbuffer *stream = loan->stream;
        loan->stream = NULL; /* if it does not stand there, it is not tried again */
        own_output(stream);
    }
}
