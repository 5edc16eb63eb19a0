/* Child processes on the rows of a scene: stopped at fault points, killed, and reaped as the master does. What is
 * waited for comes within seconds, or the test fails. */
#ifndef TESTS_FAULT_ACTOR_H
#define TESTS_FAULT_ACTOR_H

#include "tests/fault/lib/scene.h"

struct actor {
    pid_t pid;
    int row;
};
typedef void part(struct scene *scene, int row, int with);

/* A child attached to the row plays the part, then ends. Its mark is the row. */
struct actor actor_enter(struct scene *scene, int row, part *part, int with);
/* One that is paused at the point, the nth time that it comes there. */
struct actor actor_paused_at(struct scene *scene, enum fault_point point, int nth, int row, part *part, int with);
void actor_wait_paused(const struct actor *actor);
/* Nothing lets it go on, a release included, until it thaws. */
void actor_freezes(const struct actor *actor);
void actor_thaws(const struct actor *actor);
/* From its pause to its end, which must be a good one; then it is reaped. */
void actor_goes_on(struct scene *scene, struct actor *actor);
void actor_ends(struct scene *scene, struct actor *actor); /* from actor_waits() as well */
/* A plan kills it, or has killed it; then it is reaped. */
void actor_dies(struct scene *scene, struct actor *actor);
void actor_is_killed(struct scene *scene, struct actor *actor); /* now, and reaped */
/* The first half of these, for who wants to look before it is reaped. The status is waitpid()'s. */
int actor_wait(struct actor *actor);
bool actor_was_killed(int status);
/* It will be killed: mutants take from it what it has while it still lives. */
void actor_is_doomed(struct scene *scene, const struct actor *actor);
/* A child: cmocka's handlers would make a second test program of it. */
void actor_dies_of_crashes(void);
void actors_kill(void); /* all that a failed test has left */

/* ---- notes between the processes ---- */

struct notes *actor_notes(void);                      /* fresh ones, of a new scene */
void actor_says(struct scene *scene, uint64_t value); /* the child: what it has seen */
uint64_t actor_said(const struct scene *scene);
void actor_waits(struct scene *scene);                                       /* the child: until actor_ends() */
void actor_wait_ready(const struct scene *scene, const struct actor *actor); /* until it does, or has ended */

#endif
