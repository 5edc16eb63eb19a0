/* The terminal, by ncurses: nothing else knows of it. It is given back as it was, whatever ends the program. */
#ifndef MASTER_CTL_TOP_SCREEN_H
#define MASTER_CTL_TOP_SCREEN_H

#include "common/err.h"
#include "master/ctl/page.h"

enum { SCREEN_NO_KEY = -1 };

bool screen_setup(struct err *err) MUST_USE; /* stdin and stdout are terminals */
void screen_teardown(void);
void screen_size(int *rows_out, int *columns_out);
void screen_draw(const struct page *page); /* only what differs from what is there is sent */
/* Waits until a key, a signal or the time. False: the program is to end: by a signal, or its terminal is gone. */
bool screen_wait(int64_t timeout_us) MUST_USE;
int screen_key(void);      /* a character or one of ncurses' KEY_; SCREEN_NO_KEY: none is left */
int screen_ended_by(void); /* the signal; 0: none */

#endif
