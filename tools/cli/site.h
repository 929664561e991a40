// Where the broker is and as whom to speak to it: a site's folder, a profile, or the options themselves.
//   --broker URL [--user --password-file]          a broker
//   --profile FILE                                 `broker:` as in a node's configuration, or the older `remote:`
//   --site DIR, else $REEVE_SITE, else the preset  DIR/site.json, written by `reeve up`
// Must not: connect.
#ifndef REEVE_CLI_SITE_H
#define REEVE_CLI_SITE_H

#include "options.h"

#include <limits.h>
#include <reeve/bus.h>
#include <reeve/str.h>

struct site {
    struct reeve_broker broker; // its strings are owned
    char *root;
    char node[REEVE_NAME_SIZE];   // the site's own node; "" = not known
    char client[REEVE_NAME_SIZE]; // replies come to reply/<client>/: the username, as the broker's rights want it
    char dir[PATH_MAX];           // of a site; "" = none
    int64_t timeout_ms;
    bool password_shown; // the password stands in no file: --print-mqtt can't refer to one
};

#define TIMEOUT_PRESET_MS 30000

// Warnings go to stderr. INVALID for a mistake in options or files, NOENT for no site.
enum reeve_err site_load(const struct invocation *inv, struct site *ret, struct reeve_why *why);
void site_done(struct site *site);
#define SITE_AUTO __attribute__((cleanup(site_done))) struct site

// The preset folder: $XDG_STATE_HOME/reeve/site, ~/.local/state/reeve/site, for root /var/lib/reeve/site.
// INVALID without a home.
enum reeve_err site_dir_preset(char buf[PATH_MAX], struct reeve_why *why);
// The folder that --site (or, for `up`, --dir) and the environment name, absolute.
enum reeve_err site_dir(const char *given, char buf[PATH_MAX], struct reeve_why *why);
// From the text of a site.json. `user` is the role; NULL = admin.
enum reeve_err site_from_json(const char *text, size_t len, const char *path, const char *user, struct site *ret,
                              struct reeve_why *why);
// Username of an api key of the older configuration, the same for `reeve up` and for a profile: key-<8 hex>.
void site_key_user(const char *api_key, char buf[REEVE_NAME_SIZE]);
// --timeout, or the preset.
enum reeve_err site_timeout(const struct invocation *inv, int64_t preset_ms, int64_t *ret_ms, struct reeve_why *why);

// profile.c
enum reeve_err profile_load(const char *path, struct site *ret, struct reeve_why *why);

#endif
