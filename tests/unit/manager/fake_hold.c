// Stand-in for hold.c: nobody is held, but for what a test says through fake_holds.
// Must not: be linked beside the real one.
#include "fake_rooms.h"

#include "hold.h"

#include <string.h>

struct fake_hold fake_holds;

bool hold_takes_work(const struct holds *holds, const char *node, const char *worker)
{
    (void)holds;
    (void)node;
    return fake_holds.worker == NULL || strcmp(fake_holds.worker, worker) != 0;
}

bool hold_fleet_stopped(const struct holds *holds)
{
    (void)holds;
    return fake_holds.fleet_stopped;
}

bool hold_fleet_offline(const struct holds *holds)
{
    (void)holds;
    return false;
}

bool hold_worker_shut_down(const struct holds *holds, const char *node, const char *worker)
{
    (void)holds;
    (void)node;
    return fake_holds.shut_down != NULL && strcmp(fake_holds.shut_down, worker) == 0;
}

void hold_put_verdict(const struct holds *holds, const char *node, const char *worker, struct reeve_value *verdict)
{
    if (hold_takes_work(holds, node, worker)) {
        return;
    }
    struct reeve_value *hold = reeve_value_map();
    reeve_put_str(hold, "kind", "offline");
    reeve_put_str(hold, "by", "ada");
    reeve_put_int(hold, "at", 1700000000000);
    reeve_put_str(hold, "reason", "a test");
    (void)reeve_value_put(verdict, "hold", hold); /* remembered: reeve_value_built() */
}
