/* The scoreboard: one row a live process. The worker writes its own row; the master gives and takes rows. */
#ifndef SHM_BOARD_H
#define SHM_BOARD_H

#include "common/err.h"
#include "shm/last_words.h"

enum { BOARD_ROWS = 128 }; /* live workers of all generations together */

enum proc_state { PROC_FREE, PROC_STARTING, PROC_READY, PROC_DRAINING, PROC_STATE_COUNT };
extern const char *const proc_state_names[PROC_STATE_COUNT];

struct board;

size_t board_bytes(void); /* of the control segment; zeroed, every row is free */

/* The master before a fork: the lowest free row; -1: there is none. Two masters may take rows at the same time: whoever
 * sees one in another state than PROC_FREE finds all of it told. PROC_FREE gives it back. */
int board_take(struct board *board, int slot, int generation);
/* Who has the row now: a number that no process had there before; 0 when it is free. */
uint32_t board_incarnation(const struct board *board, int proc);
int board_taker(const struct board *board, int proc); /* pid of the master whose row it is; 0: nobody's */
void board_set_pid(struct board *board, int proc, int pid);
int board_pid(const struct board *board, int proc); /* 0: not told yet */
void board_set_state(struct board *board, int proc, enum proc_state state);
enum proc_state board_state(const struct board *board, int proc);
void board_beat(struct board *board, int proc, int64_t now_us);
int64_t board_last_beat_us(const struct board *board, int proc);

/* What the process says that it is at: doing.h. */
_Atomic uint64_t *board_doing(struct board *board, int proc);

/* What it leaves when it crashes: last_words.h. To be copied before the row is given back. */
struct last_words *board_last_words(struct board *board, int proc);

/* A write that may commit is under way between these two: a process that dies inside raises the epoch (shared_reap). */
void board_write_begin(struct board *board, int proc);
void board_write_end(struct board *board, int proc);
int board_writes(const struct board *board, int proc);

#endif
