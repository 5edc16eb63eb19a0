#include "worker/event_words.h"
#include "common/clock.h"
#include "common/exit_code.h"
#include "common/log.h"
#include "shm/last_words.h"

#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool started;

/* epoll.c says at length what it could not hand over, and last why. */
static bool is_unwatched(const char *words)
{
    return strncmp(words, "Epoll ", 6) == 0;
}

NORETURN static void give_up(const char *words)
{
    char why[200];
    const char *last = strrchr(words, ':');
    snprintf(why, sizeof why, "epoll takes no descriptor%s", last != NULL ? last : "");
    log_error("cannot start: %s", why);
    last_words_panic(why);
    _exit(EXIT_RESOURCES);
}

static void on_words(int severity, const char *words)
{
    static struct log_limit limit;
    if (severity < EVENT_LOG_WARN)
        return;
    if (is_unwatched(words) && !started)
        give_up(words);
    if (log_limit_pass(&limit, 10 * US_PER_S, clock_mono_us()))
        log_warn("libevent: %s", words);
}

void event_words_setup(void)
{
    started = false;
    event_set_log_callback(on_words);
}

void event_words_started(void)
{
    started = true;
}
