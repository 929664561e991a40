// The files of an embedded site: credentials, the broker's configuration from the templates, the node's configuration.
//   DIR/credentials.json  node, port, passwords (0600): what a later start reuses
//   DIR/broker/           mosquitto.conf, acl, passwords, and the broker's store
//   DIR/node.json         configuration of reeved; includes the file given with --config
//   DIR/state/            reeved's own
//   DIR/site.json         for clients; there while the site runs
// Must not: start anything.
#ifndef REEVE_CLI_UP_FILES_H
#define REEVE_CLI_UP_FILES_H

#include <limits.h>
#include <reeve/str.h>
#include <reeve/value.h>

#define UP_PASSWORD_LEN 24

enum up_role { UP_ADMIN, UP_OPERATOR, UP_VIEWER, UP_MANAGER, UP_WORKER, UP_NODE, UP_ROLE_COUNT };
extern const char *const up_role_names[UP_ROLE_COUNT]; // username of each role; of UP_NODE the node's name counts

struct up_site {
    char dir[PATH_MAX];     // absolute
    char bin_dir[PATH_MAX]; // where reeve, reeved and the workers' programs are
    char config[PATH_MAX];  // absolute; "" = none
    char root[128];
    char node[REEVE_NAME_SIZE];
    int port;
    char passwords[UP_ROLE_COUNT][UP_PASSWORD_LEN + 1];
    struct reeve_strv api_keys; // older configuration: more operators
};

// Folders, and what an earlier start left: node, port, passwords; what is new gets made. `node` and `port` of *site win
// over what was kept when they are set ("" and -1 = not given; port 0 = any). Reads daemon.port, node.name and
// security.api_keys of --config.
enum reeve_err up_files_prepare(struct up_site *site, struct reeve_why *why);
// A port that is free now, on 127.0.0.1; `wanted` 0 = any. CONFLICT when it is taken.
enum reeve_err up_port_find(int wanted, int *ret_port, struct reeve_why *why);
// Everything but site.json, for site->port.
enum reeve_err up_files_write(const struct up_site *site, struct reeve_why *why);
enum reeve_err up_site_json_write(const struct up_site *site, struct reeve_why *why);
void up_site_json_remove(const struct up_site *site);
void up_site_done(struct up_site *site);

#endif
