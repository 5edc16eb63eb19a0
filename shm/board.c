#include "shm/board.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

const char *const proc_state_names[PROC_STATE_COUNT] = {"free", "starting", "ready", "draining"};

/* Its process writes it all the time: rows share no cache line. */
struct row {
    _Atomic int state, pid, slot, generation, writes;
    _Atomic int taker; /* pid of the master whose row it is; 0: nobody's */
    _Atomic uint32_t incarnation;
    _Atomic int64_t beat_us;
    _Atomic uint64_t doing;
} __attribute__((aligned(64)));

struct board {
    struct row rows[BOARD_ROWS];
    struct last_words last_words[BOARD_ROWS];
};

size_t board_bytes(void)
{
    return sizeof(struct board);
}

int board_take(struct board *board, int slot, int generation)
{
    for (int proc = 0; proc < BOARD_ROWS; proc++) {
        struct row *row = &board->rows[proc];
        int nobody = 0;
        if (!atomic_compare_exchange_strong(&row->taker, &nobody, (int)getpid()))
            continue;
        row->pid = 0;
        row->slot = slot;
        row->generation = generation;
        row->writes = 0;
        row->beat_us = 0;
        row->doing = 0;
        memset(&board->last_words[proc], 0, sizeof board->last_words[proc]);
        row->incarnation++;
        row->state = PROC_STARTING;
        return proc;
    }
    return -1;
}

uint32_t board_incarnation(const struct board *board, int proc)
{
    const struct row *row = &board->rows[proc];
    return row->state == PROC_FREE ? 0 : row->incarnation;
}

int board_taker(const struct board *board, int proc)
{
    return board->rows[proc].taker;
}

int board_pid(const struct board *board, int proc)
{
    return board->rows[proc].pid;
}

void board_set_pid(struct board *board, int proc, int pid)
{
    board->rows[proc].pid = pid;
}

void board_set_state(struct board *board, int proc, enum proc_state state)
{
    board->rows[proc].state = (int)state;
    if (state == PROC_FREE)
        board->rows[proc].taker = 0;
}

enum proc_state board_state(const struct board *board, int proc)
{
    return (enum proc_state)board->rows[proc].state;
}

void board_beat(struct board *board, int proc, int64_t now_us)
{
    board->rows[proc].beat_us = now_us;
}

int64_t board_last_beat_us(const struct board *board, int proc)
{
    return board->rows[proc].beat_us;
}

_Atomic uint64_t *board_doing(struct board *board, int proc)
{
    return &board->rows[proc].doing;
}

struct last_words *board_last_words(struct board *board, int proc)
{
    return &board->last_words[proc];
}

void board_write_begin(struct board *board, int proc)
{
    board->rows[proc].writes++;
}

void board_write_end(struct board *board, int proc)
{
    CHECK(board->rows[proc].writes-- > 0);
}

int board_writes(const struct board *board, int proc)
{
    return board->rows[proc].writes;
}
