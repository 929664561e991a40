// ls and node ls: tables of what is there.
// Must not: change anything.
#include "commands.h"
#include "view.h"

#include <reeve/clock.h>
#include <stdlib.h>

// A connection that reads presence and leaves; `fill` shows what it found.
struct reading {
    const struct invocation *inv;
    struct selector selector;
    struct site site;
    struct session session;
    struct lookup lookup;
};

static enum reeve_err read_all(struct reading *reading, bool nodes_only, struct reeve_why *why)
{
    const char *node = opt_value(reading->inv, OPT_NODE);
    node = node != NULL && reeve_glob_is(node) ? NULL : node;
    enum reeve_err err = site_load(reading->inv, &reading->site, why);
    if (err == REEVE_OK) {
        err = session_init(&reading->session, &reading->site, why);
    }
    if (err == REEVE_OK) {
        err = lookup_init(&reading->lookup, &reading->session, why);
    }
    if (err == REEVE_OK) {
        err =
            nodes_only ? lookup_want_nodes(&reading->lookup, NULL, why) : lookup_want_all(&reading->lookup, node, why);
    }
    if (err == REEVE_OK) {
        err = session_open(&reading->session, why);
    }
    return err == REEVE_OK ? lookup_settle(&reading->lookup, why) : err;
}

static void reading_done(struct reading *reading)
{
    session_done(&reading->session);
    lookup_done(&reading->lookup);
    site_done(&reading->site);
    selector_done(&reading->selector);
}
#define READING_AUTO __attribute__((cleanup(reading_done))) struct reading

static int show_json(const struct view_worker *views, size_t len)
{
    REEVE_VALUE_AUTO map = reeve_value_map();
    struct reeve_value *list = reeve_value_list();
    for (size_t i = 0; i < len; i++) {
        (void)reeve_value_add(list, view_worker_value(&views[i])); /* remembered: reeve_value_built() */
    }
    reeve_put_int(map, "at", reeve_clock_wall_ms());
    (void)reeve_value_put(map, "workers", list); /* remembered: reeve_value_built() */
    return output_json(map, false);
}

static int show_table(const struct invocation *inv, const struct view_worker *views, size_t len)
{
    unsigned flags = opt_given(inv, OPT_WIDE) ? VIEW_WIDE : 0;
    TABLE_AUTO table;
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    view_table_init(&table, flags);
    for (size_t i = 0; i < len; i++) {
        view_table_add(&table, &views[i], flags);
    }
    table_write(&table, flags ? 0 : output_width(), output_has_colour(), &out);
    return output_write(&out);
}

static int show_names(const struct view_worker *views, size_t len)
{
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    for (size_t i = 0; i < len; i++) {
        // Twice the same name on two nodes would be ambiguous to whoever uses it.
        bool twin = false;
        for (size_t j = 0; j < len; j++) {
            twin |= j != i && reeve_str_eq(views[i].worker->name, views[j].worker->name);
        }
        reeve_buf_printf(&out, "%s%s%s\n", twin ? views[i].worker->node : "", twin ? "/" : "", views[i].worker->name);
    }
    return output_write(&out);
}

// A name that is asked for and not there is an answer of its own.
static bool all_found(const struct invocation *inv, const struct selector *selector, const struct view_worker *views,
                      size_t len)
{
    for (size_t i = 0; i < selector->names_len; i++) {
        bool found = reeve_glob_is(selector->names[i].worker);
        for (size_t j = 0; j < len && !found; j++) {
            found = reeve_str_eq(selector->names[i].worker, views[j].worker->name);
        }
        if (!found) {
            output_note("there is no worker '%s' here%s", inv->args[i],
                        selector->state != NULL || selector->type != NULL ? " that fits" : "");
            return false;
        }
    }
    return true;
}

int cmd_ls(const struct invocation *inv)
{
    READING_AUTO reading = {.inv = inv};
    struct reeve_why why = {0};
    enum reeve_err err = selector_read(inv, 0, inv->args_len, &reading.selector, &why);
    if (err == REEVE_OK) {
        err = read_all(&reading, false, &why);
    }
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    struct view_worker *views = NULL;
    size_t len = view_select(&reading.lookup, &reading.selector, &views);
    int exit_code = opt_given(inv, OPT_JSON)    ? show_json(views, len)
                    : opt_given(inv, OPT_QUIET) ? show_names(views, len)
                                                : show_table(inv, views, len);
    if (exit_code == EXIT_DONE && !all_found(inv, &reading.selector, views, len)) {
        exit_code = EXIT_REFUSED;
    }
    free(views);
    return exit_code;
}

static int nodes_json(const struct lookup *lookup, const struct reeve_known_node **nodes, size_t len)
{
    REEVE_VALUE_AUTO map = reeve_value_map();
    struct reeve_value *list = reeve_value_list();
    for (size_t i = 0; i < len; i++) {
        (void)reeve_value_add(list, view_node_value(lookup, nodes[i])); /* remembered: reeve_value_built() */
    }
    reeve_put_int(map, "at", reeve_clock_wall_ms());
    (void)reeve_value_put(map, "nodes", list); /* remembered: reeve_value_built() */
    return output_json(map, false);
}

static int nodes_text(const struct invocation *inv, const struct lookup *lookup, const struct reeve_known_node **nodes,
                      size_t len)
{
    TABLE_AUTO table;
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    bool quiet = opt_given(inv, OPT_QUIET);
    view_node_table_init(&table);
    for (size_t i = 0; i < len; i++) {
        view_node_table_add(&table, lookup, nodes[i]);
        if (quiet) {
            reeve_buf_printf(&out, "%s\n", nodes[i]->name);
        }
    }
    if (!quiet) {
        table_write(&table, output_width(), output_has_colour(), &out);
    }
    return output_write(&out);
}

int cmd_node_ls(const struct invocation *inv)
{
    READING_AUTO reading = {.inv = inv};
    struct reeve_why why = {0};
    enum reeve_err err = read_all(&reading, true, &why);
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    const struct reeve_known_node **nodes = NULL;
    size_t len = reeve_registry_nodes(reading.lookup.registry, &nodes);
    int exit_code = opt_given(inv, OPT_JSON) ? nodes_json(&reading.lookup, nodes, len)
                                             : nodes_text(inv, &reading.lookup, nodes, len);
    free(nodes);
    return exit_code;
}
