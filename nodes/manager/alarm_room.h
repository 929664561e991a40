// Inside of the room of alarms: what alarm.c and alarm_ops.c share.
// Must not: be included by other rooms.
#ifndef REEVE_MANAGER_ALARM_ROOM_H
#define REEVE_MANAGER_ALARM_ROOM_H

#include "manager.h"

struct alarm {
    char kind[REEVE_NAME_SIZE], subject[REEVE_NAME_SIZE];
    enum alarm_severity severity;
    char *message;
    struct reeve_value *detail; // MAP or NULL
    int64_t count, opened_at, changed_at;
    char *acknowledged_by; // NULL = nobody
    int64_t acknowledged_at;
    char *note;
    bool owned;         // by a room, which will close it
    bool reported;      // by who left its name to another
    int64_t heard_mono; // of the last such report
    int64_t shown_mono; // when it was stored and published last
    int64_t due_mono;   // when it has to be again; 0 = what is shown is what is
};

struct alarms {
    struct manager *manager;
    struct reeve_map *map; // <kind>/<subject> -> struct alarm
    bool full;             // and said so
    uint64_t refused;
};

#define ALARM_KEY_SIZE ((size_t)2 * REEVE_NAME_SIZE)
struct alarm *alarm_find(const struct alarms *alarms, const char *kind, const char *subject); // NULL
struct reeve_value *alarm_value(const struct alarms *alarms, const struct alarm *alarm);
void alarm_show(struct alarms *alarms, struct alarm *alarm); // store and publish it as it is now

#endif
