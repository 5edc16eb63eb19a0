#include "master/ctl/flame/stacks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <xxhash.h>

enum { FRAMES_MAX = 512, BUCKETS = 4096 };

/* ---- names ---- */

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static enum library_kind kind_of(const char *file, const char *name)
{
    if (begins(file, "[unknown") || *name == '\0')
        return LIBRARY_UNKNOWN;
    if (*file == '[' && !begins(file, "[vdso") && !begins(file, "[vsyscall"))
        return LIBRARY_KERNEL; /* [kernel.kallsyms], or a module */
    return begins(name, "perfd") ? LIBRARY_PERFD : LIBRARY_SHARED;
}

static struct library *library_of(struct stacks *s, const char *file)
{
    const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
    enum library_kind kind = kind_of(file, name);
    if (kind == LIBRARY_KERNEL)
        name = "kernel";
    for (struct library *l = s->libraries; l != NULL; l = l->next)
        if (strcmp(l->name, name) == 0)
            return l;
    struct library *l = arena_alloc(s->arena, sizeof *l);
    *l = (struct library){.name = arena_str(s->arena, slice_str(name)), .kind = kind, .next = s->libraries};
    return s->libraries = l;
}

static struct function *function_of(struct stacks *s, const char *name, const char *file)
{
    struct library *library = library_of(s, file);
    if (begins(name, "[unknown]"))
        name = arena_printf(s->arena, "[%s]", library->name);
    struct function **bucket = &s->functions[XXH3_64bits(name, strlen(name)) % BUCKETS];
    for (struct function *f = *bucket; f != NULL; f = f->next)
        if (f->lies_in == library && strcmp(f->name, name) == 0)
            return f;
    struct function *f = arena_alloc(s->arena, sizeof *f);
    *f = (struct function){.name = arena_str(s->arena, slice_str(name)), .lies_in = library, .next = *bucket};
    s->function_count++;
    return *bucket = f;
}

/* ---- the tree ---- */

struct stacks *stacks_create(void)
{
    struct stacks *s = xcalloc(1, sizeof *s);
    s->arena = arena_create();
    s->functions = xcalloc(BUCKETS, sizeof(struct function *));
    return s;
}

void stacks_destroy(struct stacks **stacks)
{
    struct stacks *s = *stacks;
    *stacks = NULL;
    if (s == NULL)
        return;
    arena_destroy(&s->arena);
    free(s->functions);
    free(s);
}

static struct frame *callee(struct stacks *s, struct frame *caller, struct function *function)
{
    struct frame **at = &caller->callees;
    while (*at != NULL && strcmp((*at)->function->name, function->name) < 0)
        at = &(*at)->next;
    for (struct frame *f = *at; f != NULL && strcmp(f->function->name, function->name) == 0; f = f->next)
        if (f->function == function)
            return f;
    struct frame *f = arena_alloc(s->arena, sizeof *f);
    *f = (struct frame){.function = function, .next = *at};
    return *at = f;
}

/* The innermost one comes first. */
static void add_stack(struct stacks *s, struct function *const *stack, int count)
{
    struct frame *at = &s->root;
    at->samples++;
    for (int i = count - 1; i >= 0; i--) {
        at = callee(s, at, stack[i]);
        at->samples++;
    }
    at->own++;
    s->depth = MAX(s->depth, count);
}

/* ---- reading ---- */

/* "    55d0 name (/usr/lib/libc.so.6)"; a file that was replaced since it was mapped has " (deleted)" behind its name.
 * A name may hold blanks and parentheses. NULL: it lies in no file. */
static struct function *read_frame(struct stacks *s, char *line)
{
    static const char deleted[] = " (deleted))";
    size_t len = strlen(line);
    char *name = line + strspn(line, " \t");
    name += strcspn(name, " ");
    name += *name == ' ';
    if (len > sizeof deleted && strcmp(line + len - (sizeof deleted - 1), deleted) == 0)
        line[len -= sizeof deleted - 1] = '\0';
    else if (len > 0 && line[len - 1] == ')')
        line[--len] = '\0';
    char *file = NULL;
    for (char *at = name; (at = strstr(at, " (")) != NULL; at++)
        file = at;
    if (file == NULL)
        return NULL;
    *file = '\0';
    file += 2;
    return begins(file, "[unknown]") ? NULL : function_of(s, name, file);
}

bool stacks_read(struct stacks *s, FILE *file, struct err *err)
{
    struct function *stack[FRAMES_MAX];
    int count = 0;
    bool inside = false;
    char *line = NULL;
    size_t cap = 0;
    while (getline(&line, &cap, file) >= 0) {
        line[strcspn(line, "\n")] = '\0';
        bool is_frame = *line == ' ' || *line == '\t';
        if (inside && !is_frame) {
            add_stack(s, stack, count);
            inside = false;
        }
        if (*line != '\0' && !is_frame) {
            inside = true;
            count = 0;
        } else if (is_frame && inside && count < FRAMES_MAX && (stack[count] = read_frame(s, line)) != NULL) {
            count++;
        }
    }
    if (inside)
        add_stack(s, stack, count);
    free(line);
    return !ferror(file) || err_set(err, "cannot read what perf script printed: %s", strerror(errno));
}

/* ---- sums ---- */

static void count_frame(const struct frame *frame)
{
    struct function *function = frame->function;
    bool outermost = function != NULL && !function->entered;
    if (function != NULL) {
        function->own += frame->own;
        function->lies_in->own += frame->own;
        function->entered = true;
    }
    if (outermost)
        function->total += frame->samples;
    for (const struct frame *f = frame->callees; f != NULL; f = f->next)
        count_frame(f);
    if (outermost)
        function->entered = false;
}

void stacks_count(struct stacks *s)
{
    count_frame(&s->root);
}

static int by_own(const void *a, const void *b)
{
    const struct function *left = *(struct function *const *)a, *right = *(struct function *const *)b;
    if (left->own != right->own)
        return left->own < right->own ? 1 : -1;
    if (left->total != right->total)
        return left->total < right->total ? 1 : -1;
    return strcmp(left->name, right->name);
}

struct function **stacks_busiest(const struct stacks *s)
{
    struct function **all = xcalloc((size_t)s->function_count, sizeof(struct function *));
    int count = 0;
    for (int i = 0; i < BUCKETS; i++)
        for (struct function *f = s->functions[i]; f != NULL; f = f->next)
            all[count++] = f;
    qsort(all, (size_t)count, sizeof(struct function *), by_own);
    return all;
}

/* ---- folded ---- */

static void print_folded(const struct frame *frame, struct buf *path, FILE *out)
{
    size_t len = path->len;
    if (frame->function != NULL) {
        buf_adds(path, len > 0 ? ";" : "");
        for (const char *at = frame->function->name; *at != '\0'; at++)
            buf_addc(path, *at == ';' ? ':' : *at);
    }
    if (frame->own > 0 && frame->function != NULL)
        fprintf(out, SLICE_FMT " %" PRId64 "\n", SLICE_ARG(buf_slice(path)), frame->own);
    for (const struct frame *f = frame->callees; f != NULL; f = f->next)
        print_folded(f, path, out);
    path->len = len;
}

void stacks_print_folded(const struct stacks *s, FILE *out)
{
    struct buf path = {0};
    print_folded(&s->root, &path, out);
    buf_deinit(&path);
}
