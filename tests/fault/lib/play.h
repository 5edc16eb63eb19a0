/* What the cmocka programs of tests/fault share: a scene for each test, and a test that hangs ends the program. */
#ifndef TESTS_FAULT_PLAY_H
#define TESTS_FAULT_PLAY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/fault/lib/actor.h"

extern struct scene scene; /* of the test that runs */

int play_set(void **state);
int play_strike(void **state);
void play_hurry(void);           /* what follows is done within seconds, or the program ends */
void play_anew(int64_t entries); /* another scene within the test */
/* The first argument, when there is one, is a pattern of the tests to run. */
void play_choose(int argc, char **argv);

#define in_scene(test) cmocka_unit_test_setup_teardown(test, play_set, play_strike)
#define assert_sound() assert_string_equal(scene_wrong(&scene), "")
#define assert_nothing_lost() assert_string_equal(scene_lost(&scene), "")

/* ---- what many tests do ---- */

/* THING is what processes meet at; TENANT, GUEST and more move into the memory that it had. */
enum { THING = VALUE_SMALL, TENANT = VALUE_SMALL + 200, GUEST = VALUE_WHOLE };
enum { OLD = 1, NEW = 2 }; /* versions */
enum { ONE = 1, TWO = 2 }; /* rows */

/* All sealed memory is reclaimed, then filled by others. */
void play_turn_memory_over(void);

/* Parts. They say what they got. */
void play_get(struct scene *s, int row, int key);
void play_put(struct scene *s, int row, int key);  /* NEW */
void play_hold(struct scene *s, int row, int key); /* from its hit till it goes on its bytes must be right */
void play_expire(struct scene *s, int row, int unused);

#endif
