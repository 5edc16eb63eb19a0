/* What every file may lean on: attributes, CHECK(), sizes. */
#ifndef COMMON_BASE_H
#define COMMON_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PERFD_VERSION "0.1.0"

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
/* For what a system call returns through: conn_deliver(). */
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define NORETURN __attribute__((noreturn))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
/* Each argument is worked out once: some are calls that do something. */
#define MIN(a, b)                                                                                                      \
    ({                                                                                                                 \
        __auto_type min_a = (a);                                                                                       \
        __auto_type min_b = (b);                                                                                       \
        min_a < min_b ? min_a : min_b;                                                                                 \
    })
#define MAX(a, b)                                                                                                      \
    ({                                                                                                                 \
        __auto_type max_a = (a);                                                                                       \
        __auto_type max_b = (b);                                                                                       \
        max_a > max_b ? max_a : max_b;                                                                                 \
    })

/* Ends the process with the failed condition in the log. For our own bugs only; stays on in production. */
#define CHECK(cond)                                                                                                    \
    do {                                                                                                               \
        if (__builtin_expect(!(cond), 0))                                                                              \
            check_failed(__FILE__, __LINE__, #cond);                                                                   \
    } while (0)

NORETURN void check_failed(const char *file, int line, const char *what);
/* Who else is told before the process ends; NULL: the error log alone. */
extern void (*check_told)(const char *words);

/* malloc family that never gives NULL: patience.h. Any thread may call, and libraries may be given it. A size of 0
 * is 1.
 */
void *xmalloc(size_t bytes) MUST_USE;
void *xcalloc(size_t count, size_t bytes) MUST_USE;
void *xrealloc(void *old, size_t bytes) MUST_USE;
char *xstrdup(const char *s) MUST_USE;

#endif
