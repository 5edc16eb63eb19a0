/* faults.so, for LD_PRELOAD: calls that fail when they are told to, as they do on a machine that has run out of
 * something.
 *
 * A page, the file that FAULTS_PAGE names, is shared by the program, by all that it forks and by the test: struct page
 * below, and tests/it/lib/faults.py. While `on` is 0 nothing fails and nothing is counted. A call fails once, when
 * `nth` is its number, or where `nth` is 0 by chance, `rate` of a million; which ones is the seed's and the call's
 * number's alone. What fails is not done at all, and leaves the errno of faults.def.
 *
 * The C library's own calls among these are not seen, but those of malloc and the like are. What malloc() would map by
 * itself counts as a call of mmap() too. FAULTS_TRACE names a file
 * that gets the stack of each call that failed. */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum call {
#define CALL(name, error) CALL_##name,
#include "tests/fault/preload/faults.def"
#undef CALL
    CALLS
};

static const int errors[CALLS] = {
#define CALL(name, error) error,
#include "tests/fault/preload/faults.def"
#undef CALL
};

enum meant { MEANT_ALL, MEANT_FIRST, MEANT_FORKED };

/* Of 64-bit words, so that the test reads and writes it without knowing more. */
struct page {
    uint64_t on, seed;
    uint64_t meant; /* enum meant: whose calls fail and are counted */
    uint64_t nothing;
    struct row {
        uint64_t rate, nth, calls, failed;
    } rows[CALLS];
};

static struct page *page;
static pid_t first;
static int trace_fd = -1;
static __thread bool tracing;

/* ---- whether one fails ---- */

static bool is_meant(void)
{
    switch ((enum meant)page->meant) {
    case MEANT_ALL:
        return true;
    case MEANT_FIRST:
        return getpid() == first;
    case MEANT_FORKED:
        return getpid() != first;
    }
    return false;
}

static uint64_t mixed(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static void trace(enum call call)
{
    static const char *const names[CALLS] = {
#define CALL(name, error) #name,
#include "tests/fault/preload/faults.def"
#undef CALL
    };
    void *frames[24];
    tracing = true;
    dprintf(trace_fd, "%d %s\n", (int)getpid(), names[call]);
    backtrace_symbols_fd(frames, backtrace(frames, 24), trace_fd);
    tracing = false;
}

static bool fails(enum call call)
{
    if (page == NULL || page->on == 0 || tracing || !is_meant())
        return false;
    struct row *row = &page->rows[call];
    uint64_t number = __atomic_add_fetch(&row->calls, 1, __ATOMIC_RELAXED);
    uint64_t chance = mixed(mixed(page->seed ^ (uint64_t)call << 56) + number) % 1000000;
    if (row->nth > 0 ? number != row->nth : chance >= row->rate)
        return false;
    __atomic_add_fetch(&row->failed, 1, __ATOMIC_RELAXED);
    if (trace_fd >= 0)
        trace(call);
    errno = errors[call];
    return true;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FAULTS_PAGE"), *trace_path = getenv("FAULTS_TRACE");
    void *frames[1];
    int fd = path != NULL ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0) : -1;
    if (fd < 0)
        return;
    first = getpid();
    void *at = (void *)syscall(SYS_mmap, NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (trace_path != NULL) {
        fd = (int)syscall(SYS_openat, AT_FDCWD, trace_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        trace_fd = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 500); /* the program's own keep their numbers */
        close(fd);
        backtrace(frames, 1); /* its first call takes memory */
    }
    page = at == MAP_FAILED ? NULL : at;
}

/* ---- the calls ---- */

/* What stands behind ours. POSIX has functions come as void *. */
#define REAL(name)                                                                                                     \
    static __typeof__(&name) real;                                                                                     \
    if (real == NULL)                                                                                                  \
    *(void **)&real = dlsym(RTLD_NEXT, #name)

/* dlsym() takes memory itself. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t boundary, size_t bytes);

/* As it comes; perfd's workers set it higher. */
enum { MAPPED_BYTES = 128 << 10 };

static bool no_memory(enum call call, size_t bytes)
{
    return fails(call) || (bytes >= MAPPED_BYTES && fails(CALL_mmap));
}

void *malloc(size_t bytes)
{
    return no_memory(CALL_malloc, bytes) ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    return no_memory(CALL_calloc, count * bytes) ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
    return no_memory(CALL_realloc, bytes) ? NULL : __libc_realloc(old, bytes);
}

int posix_memalign(void **memory_out, size_t boundary, size_t bytes)
{
    int before = errno;
    void *memory = no_memory(CALL_posix_memalign, bytes) ? NULL : __libc_memalign(boundary, bytes);
    errno = before;
    if (memory != NULL)
        *memory_out = memory;
    return memory != NULL ? 0 : ENOMEM;
}

void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    REAL(mmap);
    return fails(CALL_mmap) ? MAP_FAILED : real(at, bytes, protection, flags, fd, offset);
}

pid_t fork(void)
{
    REAL(fork);
    return fails(CALL_fork) ? -1 : real();
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *arg), void *arg)
{
    REAL(pthread_create);
    return fails(CALL_pthread_create) ? EAGAIN : real(thread, attributes, run, arg);
}

static bool has_mode(int flags)
{
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}

int open(const char *path, int flags, ...)
{
    REAL(open);
    va_list args;
    va_start(args, flags);
    mode_t mode = has_mode(flags) ? va_arg(args, mode_t) : 0;
    va_end(args);
    return fails(CALL_open) ? -1 : real(path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    REAL(openat);
    va_list args;
    va_start(args, flags);
    mode_t mode = has_mode(flags) ? va_arg(args, mode_t) : 0;
    va_end(args);
    return fails(CALL_openat) ? -1 : real(folder, path, flags, mode);
}

FILE *fopen(const char *path, const char *mode)
{
    REAL(fopen);
    return fails(CALL_fopen) ? NULL : real(path, mode);
}

int socket(int domain, int type, int protocol)
{
    REAL(socket);
    return fails(CALL_socket) ? -1 : real(domain, type, protocol);
}

int accept4(int fd, struct sockaddr *restrict peer, socklen_t *restrict len, int flags)
{
    REAL(accept4);
    return fails(CALL_accept4) ? -1 : real(fd, peer, len, flags);
}

int pipe2(int fds[2], int flags)
{
    REAL(pipe2);
    return fails(CALL_pipe2) ? -1 : real(fds, flags);
}

/* Only what makes a descriptor fails: all else of fcntl() needs nothing. */
int fcntl(int fd, int command, ...)
{
    REAL(fcntl);
    va_list args;
    va_start(args, command);
    void *arg = va_arg(args, void *);
    va_end(args);
    bool makes = command == F_DUPFD || command == F_DUPFD_CLOEXEC;
    return makes && fails(CALL_fcntl) ? -1 : real(fd, command, arg);
}

int epoll_create1(int flags)
{
    REAL(epoll_create1);
    return fails(CALL_epoll_create1) ? -1 : real(flags);
}

/* As fcntl(). */
int epoll_ctl(int fd, int operation, int of, struct epoll_event *event)
{
    REAL(epoll_ctl);
    return operation == EPOLL_CTL_ADD && fails(CALL_epoll_ctl) ? -1 : real(fd, operation, of, event);
}

int eventfd(unsigned first_value, int flags)
{
    REAL(eventfd);
    return fails(CALL_eventfd) ? -1 : real(first_value, flags);
}

int timerfd_create(clockid_t clock, int flags)
{
    REAL(timerfd_create);
    return fails(CALL_timerfd_create) ? -1 : real(clock, flags);
}

int signalfd(int fd, const sigset_t *set, int flags)
{
    REAL(signalfd);
    return fails(CALL_signalfd) ? -1 : real(fd, set, flags);
}

int memfd_create(const char *name, unsigned flags)
{
    REAL(memfd_create);
    return fails(CALL_memfd_create) ? -1 : real(name, flags);
}

int ftruncate(int fd, off_t bytes)
{
    REAL(ftruncate);
    return fails(CALL_ftruncate) ? -1 : real(fd, bytes);
}

int fallocate(int fd, int mode, off_t at, off_t bytes)
{
    REAL(fallocate);
    return fails(CALL_fallocate) ? -1 : real(fd, mode, at, bytes);
}

int posix_fallocate(int fd, off_t at, off_t bytes)
{
    REAL(posix_fallocate);
    return fails(CALL_posix_fallocate) ? ENOSPC : real(fd, at, bytes);
}

int bind(int fd, const struct sockaddr *name, socklen_t len)
{
    REAL(bind);
    return fails(CALL_bind) ? -1 : real(fd, name, len);
}

int listen(int fd, int backlog)
{
    REAL(listen);
    return fails(CALL_listen) ? -1 : real(fd, backlog);
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
    REAL(setsockopt);
    return fails(CALL_setsockopt) ? -1 : real(fd, level, option, value, len);
}

int mkdir(const char *path, mode_t mode)
{
    REAL(mkdir);
    return fails(CALL_mkdir) ? -1 : real(path, mode);
}

int chmod(const char *path, mode_t mode)
{
    REAL(chmod);
    return fails(CALL_chmod) ? -1 : real(path, mode);
}

/* Where files may be large everywhere these have the same arguments, under the names that programs built so call. */
#define LARGE(name) __typeof__(name) name##64 __attribute__((alias(#name)))
LARGE(mmap);
LARGE(open);
LARGE(openat);
LARGE(fopen);
LARGE(fcntl);
LARGE(ftruncate);
LARGE(fallocate);
LARGE(posix_fallocate);
