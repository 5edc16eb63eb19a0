#include "shm/last_words.h"
#include "common/crash_signal.h"
#include "shm/board.h"

#include <execinfo.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

/* Of write_down(), its handler and what the kernel has that return through. */
enum { OWN_FRAMES = 3 };

static struct last_words *own;
static char own_stack[CRASH_STACK_BYTES];

void last_words_prepare(void)
{
    void *frame;
    backtrace(&frame, 1);
}

void last_words_panic(const char *words)
{
    if (own != NULL && own->panic[0] == '\0')
        snprintf(own->panic, sizeof own->panic, "%s", words);
}

__attribute__((noinline)) static void write_down(int sig, const siginfo_t *info)
{
    void *frames[FRAMES_MAX + OWN_FRAMES];
    int count = MAX(backtrace(frames, FRAMES_MAX + OWN_FRAMES) - OWN_FRAMES, 0);
    for (int i = 0; i < count; i++)
        own->frames[i] = (uint64_t)(uintptr_t)frames[i + OWN_FRAMES];
    own->frame_count = count;
    own->faulted = (sig == SIGSEGV || sig == SIGBUS) && info->si_code > 0;
    own->fault_at = own->faulted ? (uint64_t)(uintptr_t)info->si_addr : 0;
    prctl(PR_GET_NAME, own->thread);
    own->signal = sig;
}

/* Two threads may crash together: the second waits until the process is gone. On return a fault happens again, now with
 * its usual end; what a process sent, abort() among them, is sent once more. */
static void on_crash(int sig, siginfo_t *info, void *context)
{
    static atomic_flag begun = ATOMIC_FLAG_INIT;
    (void)context;
    if (atomic_flag_test_and_set(&begun))
        poll(NULL, 0, 1000);
    else
        write_down(sig, info);
    signal(sig, SIG_DFL);
    if (info->si_code <= 0)
        raise(sig);
}

void last_words_attach(struct board *board, int proc)
{
    own = board_last_words(board, proc);
    check_told = last_words_panic;
    crash_stack_use(own_stack);
    struct sigaction action = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigfillset(&action.sa_mask);
    for (int i = 0; i < CRASH_SIGNALS; i++) {
#ifdef __SANITIZE_ADDRESS__
        if (crash_signals[i] != SIGABRT)
            continue; /* the sanitizer tells more */
#endif
        sigaction(crash_signals[i], &action, NULL);
    }
}
