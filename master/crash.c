#include "master/crash.h"
#include "master/note.h"
#include "master/symbol.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

struct how {
    char s[64];
};

struct crash crash_take(const struct shared *shared, int proc)
{
    struct crash crash = {atomic_load(board_doing(shared->board, proc)), *board_last_words(shared->board, proc)};
    crash.words.panic[PANIC_BYTES - 1] = crash.words.thread[THREAD_NAME_BYTES - 1] = '\0';
    crash.words.frame_count = MIN(MAX(crash.words.frame_count, 0), FRAMES_MAX);
    return crash;
}

struct crash_at crash_at(const struct shared *shared, doing_word at)
{
    struct crash_at text;
    int row = doing_route(at);
    bool known = row > 0 && row < stats_routes(shared->stats);
    snprintf(text.s, sizeof text.s, "%s%s%s", doing_words(at), known ? ", " : "",
             known ? stats_route_name(shared->stats, row) : "");
    return text;
}

static struct how how_of(int status)
{
    struct how how;
    if (WIFSIGNALED(status))
        snprintf(how.s, sizeof how.s, "was killed by SIG%s%s", sigabbrev_np(WTERMSIG(status)),
                 WCOREDUMP(status) ? " (core dumped)" : "");
    else
        snprintf(how.s, sizeof how.s, "ended with status %d", WEXITSTATUS(status));
    return how;
}

/* As many lines as it takes. All but the first frame are where a call comes back to, which may be the next function. */
static void tell_frames(const struct shared *shared, const struct last_words *words, const char *name, int slot,
                        pid_t pid)
{
    char line[EVENT_TEXT_BYTES - 64] = "";
    const char *in = "was in";
    for (int i = 0; i < words->frame_count; i++) {
        struct symbol symbol = symbol_at(words->frames[i] - (i > 0));
        if (strlen(line) + strlen(symbol.s) + 4 > sizeof line) {
            note(shared, backtrace, slot, pid, "%s (pid %d) %s%s", name, (int)pid, in, line);
            line[0] = '\0';
            in = "called from";
        }
        snprintf(line + strlen(line), sizeof line - strlen(line), "%s %s", line[0] != '\0' ? " <" : "", symbol.s);
    }
    if (line[0] != '\0')
        note(shared, backtrace, slot, pid, "%s (pid %d) %s%s", name, (int)pid, in, line);
}

void crash_tell(const struct shared *shared, const struct crash *crash, const char *name, int slot, pid_t pid,
                int status)
{
    const struct last_words *words = &crash->words;
    note(shared, worker_died, slot, pid, "%s (pid %d) %s, at: %s", name, (int)pid, how_of(status).s,
         crash_at(shared, crash->at).s);
    if (words->panic[0] != '\0')
        note(shared, last_words, slot, pid, "%s (pid %d) left the words: %s", name, (int)pid, words->panic);
    if (words->signal != 0 && words->faulted)
        note(shared, last_words, slot, pid, "%s (pid %d), thread %s, had SIG%s at address %#llx", name, (int)pid,
             words->thread, sigabbrev_np(words->signal), (unsigned long long)words->fault_at);
    else if (words->signal != 0)
        note(shared, last_words, slot, pid, "%s (pid %d), thread %s, had SIG%s", name, (int)pid, words->thread,
             sigabbrev_np(words->signal));
    tell_frames(shared, words, name, slot, pid);
}
