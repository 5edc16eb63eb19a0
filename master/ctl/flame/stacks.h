/* Sampled stacks, folded: those that are alike from the outermost caller on share their frames. */
#ifndef MASTER_CTL_FLAME_STACKS_H
#define MASTER_CTL_FLAME_STACKS_H

#include "common/arena.h"
#include "common/buf.h"
#include "common/err.h"

#include <stdio.h>

enum library_kind { LIBRARY_PERFD, LIBRARY_KERNEL, LIBRARY_SHARED, LIBRARY_UNKNOWN };

/* What functions lie in: a program, a library, the kernel. */
struct library {
    const char *name; /* of its file, without the folder: libc.so.6 */
    enum library_kind kind;
    int64_t own;        /* samples that were in it */
    const char *colour; /* of the one that draws it */
    struct library *next;
};

struct function {
    const char *name; /* [libc.so.6] where only its library is known */
    struct library *lies_in;
    int64_t own;   /* samples that were in it */
    int64_t total; /* or in what it had called; once a sample, however often it called itself */
    bool entered;  /* while totals are counted */
    struct function *next;
};

struct frame {
    struct function *function; /* NULL: the root, whose callees are the outermost frames */
    int64_t samples;           /* in it or in what it had called */
    int64_t own;
    struct frame *callees, *next; /* by name */
};

struct stacks {
    struct arena *arena;
    struct frame root;
    struct function **functions; /* by hash */
    struct library *libraries;   /* in no order */
    int function_count;
    int depth; /* of frames above the root */
};

struct stacks *stacks_create(void) MUST_USE;
void stacks_destroy(struct stacks **stacks);

/* Adds what `perf script -F comm,ip,sym,dso` printed. Addresses that lie in no file are left out: where a library was
 * built without frame pointers its register holds anything, and the frames behind it are those that the kernel found
 * there. */
bool stacks_read(struct stacks *stacks, FILE *file, struct err *err) MUST_USE;
/* Once all is read: own and total of functions, own of libraries. */
void stacks_count(struct stacks *stacks);

/* "main;event_loop;read 17" a line, as the tools for flame graphs take it. */
void stacks_print_folded(const struct stacks *stacks, FILE *out);
/* Those with the most own samples first; an array of function_count, from malloc(). */
struct function **stacks_busiest(const struct stacks *stacks) MUST_USE;

#endif
