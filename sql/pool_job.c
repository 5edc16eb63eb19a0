#include "sql/pool_job.h"
#include "sql/wording.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

void job_free(struct job *job)
{
    conn_trip_deinit(&job->trip);
    lease_release(job->work.lease);
    free(job);
}

static void join_crowd(struct job_line *line, struct job *job, bool first)
{
    if (line->crowds != NULL)
        crowds_join(line->crowds, job, first);
}

void job_line_push(struct job_line *line, struct job *job)
{
    join_crowd(line, job, false);
    job->line = line;
    job->next = NULL;
    job->prev = line->last;
    *(line->last ? &line->last->next : &line->first) = job;
    line->last = job;
    line->count++;
}

void job_line_push_front(struct job_line *line, struct job *job)
{
    join_crowd(line, job, true);
    job->line = line;
    job->prev = NULL;
    job->next = line->first;
    *(line->first ? &line->first->prev : &line->last) = job;
    line->first = job;
    line->count++;
}

void job_line_remove(struct job_line *line, struct job *job)
{
    CHECK(job->line == line);
    if (line->crowds != NULL)
        crowds_leave(line->crowds, job);
    *(job->prev ? &job->prev->next : &line->first) = job->next;
    *(job->next ? &job->next->prev : &line->last) = job->prev;
    job->line = NULL;
    line->count--;
}

struct job *job_line_pop(struct job_line *line)
{
    struct job *job = line->first;
    if (job != NULL)
        job_line_remove(line, job);
    return job;
}

/* PostgreSQL names the parameter whose value it could not read in the outermost (last) line of the error's context:
 * `unnamed portal parameter $1`. With log_parameter_max_length_on_error that line lists all values after a colon
 * instead, when it was the execution that failed. The words depend on lc_messages, `$1` does not. */
static int refused_param(const PGresult *error)
{
    const char *state = PQresultErrorField(error, PG_DIAG_SQLSTATE);
    const char *context = PQresultErrorField(error, PG_DIAG_CONTEXT);
    if (state == NULL || strncmp(state, "22", 2) != 0 || context == NULL)
        return 0;
    const char *line = strrchr(context, '\n');
    line = line ? line + 1 : context;
    const char *dollar = strchr(line, '$');
    if (dollar == NULL || !isdigit((unsigned char)dollar[1]) || memchr(line, '"', (size_t)(dollar - line)) ||
        memchr(line, ':', (size_t)(dollar - line)))
        return 0;
    return atoi(dollar + 1);
}

void job_read_error(const PGresult *error, struct pool_outcome *out)
{
    const char *state = PQresultErrorField(error, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(error, PG_DIAG_MESSAGE_PRIMARY);
    const char *position = PQresultErrorField(error, PG_DIAG_STATEMENT_POSITION);
    snprintf(out->sqlstate, sizeof out->sqlstate, "%s", state ? state : "XX000");
    out->message = message ? message : PQresultErrorMessage(error);
    out->free_words = wording_is_free(error);
    out->detail = PQresultErrorField(error, PG_DIAG_MESSAGE_DETAIL);
    out->constraint = PQresultErrorField(error, PG_DIAG_CONSTRAINT_NAME);
    out->position = position ? atoi(position) : 0;
    out->bind_param = refused_param(error);
}
