/* evhttp and nothing else: as its manual shows it, and with everything that its interface allows to make it faster.
 *
 *     evhttp PORT FOLDER plain|tuned      serves the files of FOLDER as /body/NAME until a signal ends it
 *
 * tuned: an event base without locks; Date and Content-Length made beforehand, so that evhttp formats neither; a body
 * that is referred to, not copied; memory from lists of free blocks, as evhttp makes some 60 small ones a request; and
 * the answer is written within the callback, which saves waiting for the socket to be writable. */
#include "tests/bench/peers/answers.h"

#include <err.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct answers answers;

/* ---- memory: a list of free blocks for each multiple of 32 bytes; what is larger is malloc's ---- */

enum { BLOCK_STEP = 32, BLOCK_CLASSES = 40, BLOCK_CLASS_NONE = -1 };

struct block {
    union {
        size_t bytes; /* that may be used */
        max_align_t alignment;
    } head;
    union {
        struct block *next_free;
        char bytes[1];
    } use;
};

static struct block *free_blocks[BLOCK_CLASSES];

static struct block *block_of(void *memory)
{
    return (struct block *)(void *)((char *)memory - offsetof(struct block, use));
}

static int class_of(size_t bytes)
{
    size_t class = bytes == 0 ? 0 : (bytes - 1) / BLOCK_STEP;
    return class < BLOCK_CLASSES ? (int)class : BLOCK_CLASS_NONE;
}

static void *block_get(size_t bytes)
{
    int class = class_of(bytes);
    if (class != BLOCK_CLASS_NONE && free_blocks[class] != NULL) {
        struct block *block = free_blocks[class];
        free_blocks[class] = block->use.next_free;
        return &block->use;
    }
    size_t usable = class == BLOCK_CLASS_NONE ? bytes : (size_t)(class + 1) * BLOCK_STEP;
    struct block *block = malloc(offsetof(struct block, use) + usable);
    if (block == NULL)
        return NULL;
    block->head.bytes = usable;
    return &block->use;
}

static void block_put(void *memory)
{
    if (memory == NULL)
        return;
    struct block *block = block_of(memory);
    int class = class_of(block->head.bytes);
    if (class == BLOCK_CLASS_NONE) {
        free(block);
        return;
    }
    block->use.next_free = free_blocks[class];
    free_blocks[class] = block;
}

static void *block_resize(void *memory, size_t bytes)
{
    if (memory != NULL && block_of(memory)->head.bytes >= bytes)
        return memory;
    void *larger = block_get(bytes);
    if (larger != NULL && memory != NULL) {
        memcpy(larger, memory, block_of(memory)->head.bytes);
        block_put(memory);
    }
    return larger;
}

/* ---- answers ---- */

static const struct answer *answer_of(struct evhttp_request *request)
{
    const char *uri = evhttp_request_get_uri(request);
    const struct answer *answer = answers_find(&answers, uri, strlen(uri));
    if (answer == NULL)
        evhttp_send_error(request, HTTP_NOTFOUND, NULL);
    return answer;
}

static void answer_plain(struct evhttp_request *request, void *arg)
{
    (void)arg;
    const struct answer *answer = answer_of(request);
    if (answer == NULL)
        return;
    struct evbuffer *body = evbuffer_new();
    evbuffer_add(body, answer->body, answer->body_bytes);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", "application/json");
    evhttp_send_reply(request, HTTP_OK, "OK", body);
    evbuffer_free(body);
}

static void add_fields(struct evhttp_request *request, const struct answer *answer)
{
    struct evkeyvalq *fields = evhttp_request_get_output_headers(request);
    char length[24];
    snprintf(length, sizeof length, "%zu", answer->body_bytes);
    evhttp_add_header(fields, "Content-Type", "application/json");
    evhttp_add_header(fields, "Content-Length", length);
    evhttp_add_header(fields, "Date", answers.date);
}

/* evhttp has queued its answer and waits for the socket. Usually the socket takes all of it at once; then evhttp is
 * told what it would learn from the loop. Its own output buffer is frozen for others, so it is opened and closed again.
 */
static void write_now(struct bufferevent *connection)
{
    struct evbuffer *output = bufferevent_get_output(connection);
    evbuffer_unfreeze(output, 1);
    int written = evbuffer_write(output, bufferevent_getfd(connection));
    evbuffer_freeze(output, 1);
    if (written <= 0 || evbuffer_get_length(output) > 0)
        return;
    bufferevent_disable(connection, EV_WRITE);
    bufferevent_trigger(connection, EV_WRITE, BEV_TRIG_IGNORE_WATERMARKS);
}

static void answer_tuned(struct evhttp_request *request, void *arg)
{
    (void)arg;
    const struct answer *answer = answer_of(request);
    if (answer == NULL)
        return;
    struct bufferevent *connection = evhttp_connection_get_bufferevent(evhttp_request_get_connection(request));
    add_fields(request, answer);
    evbuffer_add_reference(evhttp_request_get_output_buffer(request), answer->body, answer->body_bytes, NULL, NULL);
    evhttp_send_reply(request, HTTP_OK, "OK", NULL);
    write_now(connection);
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    answers_set_date(&answers, time(NULL));
}

static struct event_base *tuned_base(void)
{
    struct event_config *config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    event_add(event_new(base, -1, EV_PERSIST, on_second, NULL), &(struct timeval){1, 0});
    return base;
}

int main(int argc, char **argv)
{
    bool tuned = argc == 4 && strcmp(argv[3], "tuned") == 0;
    if (argc != 4 || (!tuned && strcmp(argv[3], "plain") != 0))
        errx(64, "usage: evhttp PORT FOLDER plain|tuned");
    answers_load(&answers, argv[2]);
    signal(SIGPIPE, SIG_IGN); /* libevent writes to sockets that the other side has closed */
    if (tuned)
        event_set_mem_functions(block_get, block_resize, block_put);
    struct event_base *base = tuned ? tuned_base() : event_base_new();
    struct evhttp *http = evhttp_new(base);
    evhttp_set_gencb(http, tuned ? answer_tuned : answer_plain, NULL);
    if (tuned)
        evhttp_set_default_content_type(http, NULL);
    if (evhttp_accept_socket(http, answers_listen(argv[1])) != 0)
        errx(1, "evhttp_accept_socket");
    event_base_dispatch(base);
    return 1;
}
