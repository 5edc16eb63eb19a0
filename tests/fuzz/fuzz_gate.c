/* worker/http_head.h and worker/http_chunks.h: what comes on a connection, read in a loop like the gate's. A second,
 * plain reader gives the same verdict on all that is whole, and the same request. However the bytes are cut, the same
 * is read. A real evhttp frames what was accepted in the same way. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/gate_reference.h"
#include "worker/http_chunks.h"

#include <stdlib.h>

/* Above it an input is not also given byte by byte. */
enum { CUT_MAX = 96 };

/* The gate may see that a line is wrong before it is whole. begun: bytes of such a line. */
static bool is_same_verdict(enum http_read gate, enum http_read plain, size_t begun)
{
    return gate == plain || (gate == HTTP_READ_BAD && plain == HTTP_READ_MORE && begun > 0);
}

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
    CHECK(head->method == HTTP_OTHER ? !reference_knows_method(p->method) : slice_is(p->method, name));
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
    CHECK(method == HTTP_OTHER || slice_is(plain_cut(&rest, ' '), http_method_names[method]));
    rest = bytes;
    for (size_t i = 0; i < bytes.len; i++)
        lines += bytes.at[i] == '\n';
    switch (why->status) {
    case 400:
        break;
    case 414:
        plain_cut(&rest, ' ');
        CHECK(plain_cut(&rest, ' ').len > URI_MAX);
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
        CHECK(plain_cut_line(&rest, &line) && plain_is(OTHER_VERSION, line));
        break;
    default:
        CHECK(!"a status that a head is not refused with");
    }
}

static void check_verdict(struct reading *r, enum http_read read, struct slice bytes)
{
    r->plain = (struct plain){0};
    enum http_read plain = plain_read_head(bytes, &r->plain);
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
        reference_compare(&r->head, &r->plain, raw, body);
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
    enum http_read plain = plain_read_chunks(&rest, &body, &r->plain.extended);
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
        bytes = plain_skip(bytes, used);
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

static void check_same(const struct reading *whole, const struct reading *cut)
{
    CHECK(slice_eq(buf_slice(&whole->told), buf_slice(&cut->told)));
    CHECK(slice_eq(buf_slice(&whole->body), buf_slice(&cut->body)));
    CHECK(!whole->refused || whole->head.method == cut->head.method);
    CHECK(whole->in_body == cut->in_body && whole->taken == cut->taken && whole->refused == cut->refused);
    CHECK(!whole->refused || whole->refusal.status == cut->refusal.status);
}

static void compare_cut(const struct reading *whole, struct slice all, size_t most, uint32_t random)
{
    static struct reading cut;
    cut = (struct reading){0};
    feed(&cut, all, most, random);
    check_same(whole, &cut);
    buf_deinit(&cut.told);
    buf_deinit(&cut.body);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    plain_setup();
    reference_setup();
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
