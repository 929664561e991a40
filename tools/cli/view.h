// How workers and nodes look: as a row of a table, as JSON.
// Must not: read anything; it shows what a lookup holds.
#ifndef REEVE_CLI_VIEW_H
#define REEVE_CLI_VIEW_H

#include "lookup.h"
#include "output.h"
#include "selector.h"

// Columns of processor and memory use are for `top`.
#define VIEW_WIDE 1u
#define VIEW_USE  2u

struct view_use {
    bool known;
    double cpu; // cores
    int64_t memory_bytes;
};

struct view_worker {
    const struct reeve_known_worker *worker;
    struct reeve_verdict verdict;
    struct view_use use;
};

// Those that fit, sorted by node and name. The array is the caller's to free().
size_t view_select(const struct lookup *lookup, const struct selector *selector, struct view_worker **ret);
void view_table_init(struct table *table, unsigned flags);
void view_table_add(struct table *table, const struct view_worker *view, unsigned flags);
struct reeve_value *view_worker_value(const struct view_worker *view); // caller frees
enum colour view_state_colour(enum reeve_state state);

void view_node_table_init(struct table *table);
void view_node_table_add(struct table *table, const struct lookup *lookup, const struct reeve_known_node *node);
struct reeve_value *view_node_value(const struct lookup *lookup, const struct reeve_known_node *node); // caller frees

// A record for people, as indented `key: value` lines: times with their ages, durations and sizes in units. Every key
// that is there is shown, known to this build or not.
void view_record(struct reeve_buf *out, const struct reeve_value *record, unsigned depth);

#endif
