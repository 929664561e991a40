// DIR/node.yaml: the node's configuration of a site, from what `reeve up` knows and the user's own file.
// Must not: know the daemon's configuration but for the few keys set here; the daemon checks the file itself.
#include "site.h"
#include "up.h"

#include "output.h"

#include <reeve/codec.h>
#include <reeve/file.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BROKER_WORKER "broker"

// ---- the user's file --------------------------------------------------------------------------------------------

// The daemon knows what may stand in it, and names the places in the user's own file.
static enum reeve_err check_file(const struct up *up, struct reeve_why *why)
{
    char program[PATH_MAX];
    (void)snprintf(program, sizeof program, "%s/reeved", up->bin_dir);
    const char *const argv[] = {program, "--check", "--config", up->config_path, NULL};
    int code = up_run(argv, true);
    if (code < 0) {
        return reeve_fail(why, REEVE_NOENT, "%s can't be run", program);
    }
    return code == 0 ? REEVE_OK
                     : reeve_fail(why, REEVE_INVALID, "%s is not right; nothing was started", up->config_path);
}

static enum reeve_err take_keys(struct up *up, const struct reeve_value *keys)
{
    enum reeve_err err = REEVE_OK;
    size_t count = reeve_value_kind(keys) == REEVE_LIST ? reeve_value_len(keys) : keys != NULL ? 1 : 0;
    for (size_t i = 0; err == REEVE_OK && i < count; i++) {
        const char *key = reeve_value_text(reeve_value_kind(keys) == REEVE_LIST ? reeve_value_at(keys, i) : keys);
        if (key != NULL && strpbrk(key, "\r\n") == NULL) {
            err = reeve_strv_add(&up->keys, key);
        }
    }
    return err;
}

// daemon.port and daemon.host are the broker's listener in the older form; security.api_keys its users.
static enum reeve_err take_older_form(struct up *up, struct reeve_why *why)
{
    struct reeve_value *daemon = reeve_value_get_mut(up->config, "daemon");
    const char *host = reeve_get_str(daemon, "host");
    int64_t port = reeve_get_int(daemon, "port", 0);
    if (host != NULL && strcmp(host, "127.0.0.1") != 0 && strcmp(host, "localhost") != 0) {
        output_note("warning: %s: daemon.host: the site's broker listens on 127.0.0.1 only, not on %s", up->config_path,
                    host);
    }
    if (port > 0 && up->port == 0 && !opt_given(up->inv, OPT_PORT)) {
        up->port = port;
    }
    (void)reeve_value_remove(daemon, "host");
    (void)reeve_value_remove(daemon, "port");
    enum reeve_err err = take_keys(up, reeve_value_get(reeve_value_get(up->config, "security"), "api_keys"));
    (void)reeve_value_remove(up->config, "security");
    return err == REEVE_OK ? err : reeve_fail(why, err, "out of memory");
}

static enum reeve_err take_text(const struct up *up, const char *key, char **ret, struct reeve_why *why)
{
    const char *text = reeve_get_str(reeve_value_get(up->config, "node"), key);
    if (text == NULL || *ret != NULL) {
        return REEVE_OK;
    }
    *ret = strdup(text);
    return *ret != NULL ? REEVE_OK : reeve_fail(why, REEVE_NOMEM, "out of memory");
}

enum reeve_err up_config_read(struct up *up, struct reeve_why *why)
{
    struct reeve_value *value = NULL;
    enum reeve_err err = REEVE_OK;
    if (up->config_path[0] != '\0') {
        err = check_file(up, why);
        err = err == REEVE_OK ? reeve_file_read_value(up->config_path, &reeve_limits_file, &value, why) : err;
    }
    if (err != REEVE_OK) {
        return err;
    }
    up->config = reeve_value_kind(value) == REEVE_MAP ? value : reeve_value_map();
    if (up->config != value) {
        reeve_value_free(value);
    }
    err = take_older_form(up, why);
    if (err == REEVE_OK) {
        err = take_text(up, "root", &up->root, why);
    }
    const char *name = reeve_get_str(reeve_value_get(up->config, "node"), "name");
    if (err == REEVE_OK && name != NULL && up->node[0] == '\0') {
        (void)snprintf(up->node, sizeof up->node, "%s", name); /* checked with the file */
    }
    return err;
}

// ---- the node's file --------------------------------------------------------------------------------------------

static struct reeve_value *part(const struct up *up, const char *key)
{
    const struct reeve_value *given = reeve_value_get(up->config, key);
    return reeve_value_kind(given) == REEVE_MAP ? reeve_value_clone(given) : reeve_value_map();
}

static struct reeve_value *node_part(const struct up *up)
{
    char path[PATH_MAX];
    struct reeve_value *node = part(up, "node");
    reeve_put_str(node, "name", up->node);
    reeve_put_str(node, "root", up->root);
    reeve_put_str(node, "state_dir", up_path(up, "state", path));
    reeve_put_str(node, "on_exit", "stop");
    reeve_put_str(node, "broker_worker", BROKER_WORKER);
    if (up_has_manager(up)) {
        reeve_put_str(node, "manager_worker", UP_MANAGER_WORKER);
    } else {
        (void)reeve_value_remove(node, "manager_worker");
    }
    return node;
}

static struct reeve_value *broker_part(const struct up *up, const char *key, const char *username, const char *file)
{
    char path[PATH_MAX];
    char below[REEVE_NAME_SIZE + 16];
    char url[64];
    struct reeve_value *broker = part(up, key);
    (void)snprintf(url, sizeof url, "mqtt://127.0.0.1:%d", (int)up->port);
    (void)snprintf(below, sizeof below, "credentials/%s", file);
    (void)reeve_value_remove(broker, "password");
    reeve_put_str(broker, "url", url);
    reeve_put_str(broker, "username", username);
    reeve_put_str(broker, "password_file", up_path(up, below, path));
    return broker;
}

static struct reeve_value *strings(const char *const *items)
{
    struct reeve_value *list = reeve_value_list();
    for (; *items != NULL; items++) {
        (void)reeve_value_add(list, reeve_value_str(*items)); /* remembered: reeve_value_built() */
    }
    return list;
}

static void put(struct reeve_value *map, const char *key, struct reeve_value *value)
{
    (void)reeve_value_put(map, key, value); /* remembered: reeve_value_built() */
}

// The broker is a worker like any other, but for a restart without limit: without it nobody is there to reset it.
static struct reeve_value *broker_worker(const struct up *up)
{
    char program[PATH_MAX];
    char conf[PATH_MAX];
    (void)snprintf(program, sizeof program, "%s/reeve-worker-broker", up->bin_dir);
    const char *const argv[] = {program, "--config", up_path(up, "broker/mosquitto.conf", conf), NULL};
    struct reeve_value *worker = reeve_value_map();
    struct reeve_value *ready = reeve_value_map();
    struct reeve_value *restart = reeve_value_map();
    struct reeve_value *stop = reeve_value_map();
    reeve_put_int(ready, "tcp", up->port);
    reeve_put_str(restart, "policy", "always");
    reeve_put_str(restart, "initial", "100ms");
    reeve_put_str(restart, "max", "5s");
    reeve_put_int(restart, "limit", 0);
    reeve_put_str(stop, "grace", "10s");
    reeve_put_str(worker, "name", BROKER_WORKER);
    reeve_put_str(worker, "type", "broker");
    put(worker, "command", strings(argv));
    put(worker, "ready", ready);
    put(worker, "restart", restart);
    put(worker, "stop", stop);
    return worker;
}

static struct reeve_value *workers_part(const struct up *up)
{
    struct reeve_value *list = reeve_value_list();
    const struct reeve_value *given = reeve_value_get(up->config, "workers");
    (void)reeve_value_add(list, broker_worker(up)); /* remembered: reeve_value_built() */
    if (up_has_manager(up)) {
        (void)reeve_value_add(list, up_manager_worker(up)); /* as above */
    }
    for (size_t i = 0; i < reeve_value_len(given); i++) {
        (void)reeve_value_add(list, reeve_value_clone(reeve_value_at(given, i))); /* remembered: reeve_value_built() */
    }
    return list;
}

// Where a later `reload` finds the user's file.
static enum reeve_err note_config(const struct up *up, struct reeve_why *why)
{
    char path[PATH_MAX];
    char line[UP_PATH_MAX + 1];
    (void)up_path(up, "config", path);
    if (up->config_path[0] == '\0') {
        (void)unlink(path); /* absent is what is wanted */
        return REEVE_OK;
    }
    int len = snprintf(line, sizeof line, "%s\n", up->config_path);
    return reeve_file_write_atomic(path, line, (size_t)len, 0600, why);
}

enum reeve_err up_config_write(const struct up *up, struct reeve_why *why)
{
    static const char head[] =
        "# Made by `reeve up` at each start; changes here are lost. Its --config is the place for them.\n";
    char path[PATH_MAX];
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(1 << 20);
    REEVE_VALUE_AUTO config = reeve_value_clone(up->config);
    put(config, "node", node_part(up));
    put(config, "broker", broker_part(up, "broker", up->node, up->node));
    put(config, "worker_broker", broker_part(up, "worker_broker", "worker", "worker"));
    put(config, "workers", workers_part(up));
    reeve_buf_puts(&text, head);
    enum reeve_err err = reeve_value_built(config);
    if (err == REEVE_OK) {
        err = reeve_yaml_write(config, &text);
    }
    if (err != REEVE_OK) {
        return reeve_fail(why, err, "the node's configuration can't be written");
    }
    err = reeve_file_write_atomic(up_path(up, "node.yaml", path), text.data, text.len, 0600, why);
    return err == REEVE_OK ? note_config(up, why) : err;
}

// ---- again, for a reload --------------------------------------------------------------------------------------------

static enum reeve_err up_of_site(const struct site *site, struct up *ret, struct reeve_why *why)
{
    char word[16];
    (void)snprintf(ret->dir, sizeof ret->dir, "%s", site->dir);
    (void)snprintf(ret->node, sizeof ret->node, "%s", site->node);
    if (!up_read_word(ret, "port", word, sizeof word) || reeve_parse_i64(word, &ret->port, why) != REEVE_OK) {
        return reeve_fail(why, REEVE_CORRUPT, "%s/port is missing or wrong", ret->dir);
    }
    ret->root = strdup(site->root);
    return ret->root != NULL ? up_find_bin_dir(ret, why) : reeve_fail(why, REEVE_NOMEM, "out of memory");
}

static enum reeve_err keep_old(const struct up *up, char **ret_old, struct reeve_why *why)
{
    char path[PATH_MAX];
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(1 << 20);
    enum reeve_err err = reeve_file_read(up_path(up, "node.yaml", path), 1 << 20, &text, why);
    if (err == REEVE_OK) {
        *ret_old = reeve_buf_take(&text, NULL);
        err = *ret_old != NULL ? REEVE_OK : reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    return err;
}

static void up_done(struct up *up)
{
    reeve_value_free(up->config);
    reeve_strv_done(&up->keys);
    free(up->root);
}

// Whether the site was started with a manager, from its DIR/node.yaml.
static bool had_manager(const char *text)
{
    REEVE_VALUE_AUTO node = NULL;
    return reeve_yaml_read(text, strlen(text), &reeve_limits_file, NULL, &node, NULL) != REEVE_OK ||
           reeve_get_str(reeve_value_get(node, "node"), "manager_worker") != NULL;
}

enum reeve_err up_config_refresh(const struct invocation *inv, const struct site *site, char **ret_old,
                                 struct reeve_why *why)
{
    __attribute__((cleanup(up_done))) struct up up = {.inv = inv, .lock_fd = -1};
    enum reeve_err err = up_of_site(site, &up, why);
    if (err != REEVE_OK || !up_read_word(&up, "config", up.config_path, sizeof up.config_path)) {
        return err;
    }
    err = keep_old(&up, ret_old, why);
    if (err == REEVE_OK) {
        err = up_config_read(&up, why);
    }
    if (err == REEVE_OK) {
        REEVE_ASSERT(*ret_old != NULL);
        up.no_manager = !had_manager(*ret_old); // as it was started
        err = up_config_write(&up, why);
    }
    bool changed = false;
    if (err == REEVE_OK && up_has_manager(&up) && !opt_given(inv, OPT_DRY_RUN)) {
        err = up_manager_write(&up, &changed, why);
    }
    if (changed) {
        output_note("the manager's configuration has changed; `reeve restart %s` makes it so", UP_MANAGER_WORKER);
    }
    return err;
}

enum reeve_err up_config_restore(const struct site *site, const char *old, struct reeve_why *why)
{
    struct up up = {.lock_fd = -1};
    char path[PATH_MAX];
    (void)snprintf(up.dir, sizeof up.dir, "%s", site->dir);
    return reeve_file_write_atomic(up_path(&up, "node.yaml", path), old, strlen(old), 0600, why);
}
