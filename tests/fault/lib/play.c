#include "tests/fault/lib/play.h"

#include <unistd.h>

enum { TEST_WITHIN_S = 30, MUTANT_WITHIN_S = 4 };

struct scene scene;

void play_hurry(void)
{
    alarm(mutant_on == MUTANT_COUNT ? TEST_WITHIN_S : MUTANT_WITHIN_S);
}

int play_set(void **state)
{
    (void)state;
    scene_set(&scene, SCENE_BYTES, SCENE_ENTRIES);
    play_hurry();
    return 0;
}

int play_strike(void **state)
{
    (void)state;
    scene_strike(&scene);
    alarm(0);
    return 0;
}

void play_anew(int64_t entries)
{
    scene_strike(&scene);
    scene_set(&scene, SCENE_BYTES, entries);
}

void play_choose(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
}

void play_turn_memory_over(void)
{
    scene_expire(&scene);
    scene_fill(&scene, TENANT, 30);
    scene_fill(&scene, GUEST, 100);
}

void play_get(struct scene *s, int row, int key)
{
    (void)row;
    actor_says(s, scene_get(s, key));
}

void play_put(struct scene *s, int row, int key)
{
    (void)row;
    actor_says(s, scene_put(s, key, NEW));
}

void play_hold(struct scene *s, int row, int key)
{
    (void)row;
    struct cache_entry e;
    if (!scene_hold(s, key, &e))
        return;
    actor_says(s, value_version(key, &e));
    actor_waits(s);
    actor_says(s, value_version(key, &e));
    cache_release(&e);
}

void play_expire(struct scene *s, int row, int unused)
{
    (void)row, (void)unused;
    scene_expire(s);
}
