// A fleet of a few workers whose every fact a test sets by hand, in place of fleet.c and query.c: for rooms that only look at it.
// List fake_fleet.c among the sources of the test; it is no part of fake_manager.
// Must not: judge; what a test sets is what is seen.
#ifndef REEVE_TEST_FAKE_FLEET_H
#define REEVE_TEST_FAKE_FLEET_H

#include "fake_manager.h"

#include "fleet.h"

#define FAKE_WORKERS 20000
#define FAKE_NODES   64

struct fleet_worker { // set `info` freely; its names are those it was added with
    struct fleet_worker_info info;
    struct reeve_value *process, *status; // owned here; NULL = none
    char node[REEVE_NAME_SIZE], name[REEVE_NAME_SIZE];
    size_t touched; // fleet_touch()
};
struct fleet_node {
    struct fleet_node_info info;
    char name[REEVE_NAME_SIZE];
};
extern bool fake_fleet_held;
extern size_t fake_fleet_lookups; // fleet_worker(): what a tick costs

void fake_fleet_reset(void);
void fake_fleet_deaf(void); // forget who listens: before a room is made anew
// A running, idle, supervised one of type probe; its node is added, live.
struct fleet_worker *fake_worker(const char *node, const char *name);
struct fleet_node *fake_node(const char *name);
void fake_worker_tell(struct fake *fake, enum fleet_change change, struct fleet_worker *worker);
void fake_worker_beat(struct fake *fake, struct fleet_worker *worker, const char *status); // YAML
void fake_node_tell(struct fake *fake, struct fleet_node *node);

#endif
