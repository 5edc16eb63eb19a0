#include "shm/control.h"
#include "shm/segment.h"

#include <string.h>
#include <unistd.h>

enum { SECTIONS = 8 };

static void sections_of(struct segment_section sections[SECTIONS])
{
    const struct segment_section all[SECTIONS] = {
        {"tags", tags_bytes(), sizeof(uint64_t), NULL},         {"board", board_bytes(), board_bytes(), NULL},
        {"flights", flights_bytes(), FLIGHT_BYTES, NULL},       {"permits", permits_bytes(), PERMIT_ROW_BYTES, NULL},
        {"rates", rates_bytes(), RATES_SET_BYTES, NULL},        {"owners", owners_bytes(), owners_bytes(), NULL},
        {"pressure", pressure_bytes(), pressure_bytes(), NULL}, {"purge", purge_bytes(), purge_bytes(), NULL}};
    memcpy(sections, all, sizeof all);
}

static void place(struct control *control, const struct segment_section sections[SECTIONS])
{
    control->tags = sections[0].at;
    control->board = sections[1].at;
    control->flights = sections[2].at;
    control->permits = sections[3].at;
    control->rates = sections[4].at;
    control->owners = sections[5].at;
    control->pressure = sections[6].at;
    control->purge = sections[7].at;
}

bool control_create(struct control *control, struct err *err)
{
    struct segment_section sections[SECTIONS];
    sections_of(sections);
    *control = (struct control){.fd = -1};
    control->segment = segment_create("perfd-control", sections, SECTIONS, &control->fd, err);
    if (control->segment == NULL)
        return false;
    place(control, sections);
    rates_init(control->rates);
    return true;
}

bool control_attach(struct control *control, int fd, struct err *err)
{
    struct segment_section sections[SECTIONS];
    sections_of(sections);
    *control = (struct control){.fd = -1};
    control->segment = segment_attach(fd, sections, SECTIONS, err);
    if (control->segment == NULL)
        return false;
    place(control, sections);
    control->fd = fd;
    return true;
}

void control_destroy(struct control *control)
{
    if (control->segment == NULL)
        return;
    segment_destroy(control->segment);
    if (control->fd >= 0)
        close(control->fd);
    *control = (struct control){.fd = -1};
}
