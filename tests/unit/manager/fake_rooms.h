// Levers of the stand-ins. Reset what you set: they are global.
// Must not: be needed by a test that does not care.
#ifndef REEVE_TEST_FAKE_ROOMS_H
#define REEVE_TEST_FAKE_ROOMS_H

#include "fake_manager.h"

#include "health.h"

#define FAKE_ALARMS 256

struct fake_hold {
    const char *worker;    // offline by hand; NULL = nobody
    const char *shut_down; // shut down by hand
    bool fleet_stopped;
};
struct fake_alarm {
    char kind[64], subject[REEVE_NAME_SIZE], message[256];
    size_t count;
    bool open;
};
extern enum health_level fake_health; // of everybody
extern struct fake_hold fake_holds;
extern struct fake_alarm fake_alarms[FAKE_ALARMS];
extern size_t fake_alarms_len;
extern size_t fake_replaced; // pools_replace()

#endif
