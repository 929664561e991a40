// DIR/manager.yaml and the worker that runs the site's manager.
// Must not: know the manager's configuration but for the few keys set here; reeve-manager checks the file itself.
#include "up.h"

#include <reeve/codec.h>
#include <reeve/file.h>
#include <string.h>

#define CONFIG_MAX (1u << 20)

bool up_has_manager(const struct up *up)
{
    return !up->no_manager;
}

static void put(struct reeve_value *map, const char *key, struct reeve_value *value)
{
    (void)reeve_value_put(map, key, value); /* remembered: reeve_value_built() */
}

// As the broker: a restart without limit, since nobody else is there to look after it.
struct reeve_value *up_manager_worker(const struct up *up)
{
    char program[PATH_MAX];
    char path[PATH_MAX];
    struct reeve_value *worker = reeve_value_map();
    struct reeve_value *command = reeve_value_list();
    struct reeve_value *restart = reeve_value_map();
    struct reeve_value *stop = reeve_value_map();
    (void)snprintf(program, sizeof program, "%s/reeve-manager", up->bin_dir);
    const char *const argv[] = {program, "--config", up_path(up, "manager.yaml", path)};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(argv); i++) {
        (void)reeve_value_add(command, reeve_value_str(argv[i])); /* remembered: reeve_value_built() */
    }
    reeve_put_str(restart, "policy", "always");
    reeve_put_str(restart, "initial", "100ms");
    reeve_put_str(restart, "max", "5s");
    reeve_put_int(restart, "limit", 0);
    reeve_put_str(stop, "grace", "10s");
    reeve_put_str(worker, "name", UP_MANAGER_WORKER);
    reeve_put_str(worker, "type", "manager");
    put(worker, "command", command);
    put(worker, "restart", restart);
    put(worker, "stop", stop);
    return worker;
}

// A folder is named from where the user's file is, and the manager may run somewhere else.
static void make_absolute(const struct up *up, struct reeve_value *section, const char *key)
{
    const char *given = reeve_get_str(section, key);
    const char *slash = strrchr(up->config_path, '/');
    REEVE_BUF_AUTO path = REEVE_BUF_INIT((size_t)2 * PATH_MAX);
    if (given == NULL || given[0] == '\0' || given[0] == '/' || slash == NULL) {
        return;
    }
    reeve_buf_printf(&path, "%.*s/%s", (int)(slash - up->config_path), up->config_path, given);
    reeve_put_str(section, key, reeve_buf_str(&path));
}

static struct reeve_value *manager_section(const struct up *up)
{
    char path[PATH_MAX];
    const struct reeve_value *given = reeve_value_get(up->config, "manager");
    struct reeve_value *section = reeve_value_kind(given) == REEVE_MAP ? reeve_value_clone(given) : reeve_value_map();
    make_absolute(up, section, "pools_dir");
    make_absolute(up, section, "accounts_dir");
    reeve_put_str(section, "name", UP_MANAGER_NAME);
    reeve_put_str(section, "root", up->root);
    reeve_put_str(section, "state_dir", up_path(up, "state/manager", path));
    return section;
}

static struct reeve_value *broker_section(const struct up *up)
{
    char path[PATH_MAX];
    char url[64];
    struct reeve_value *broker = reeve_value_map();
    (void)snprintf(url, sizeof url, "mqtt://127.0.0.1:%d", (int)up->port);
    reeve_put_str(broker, "url", url);
    reeve_put_str(broker, "username", "manager");
    reeve_put_str(broker, "password_file", up_path(up, "credentials/manager", path));
    return broker;
}

static enum reeve_err render(const struct up *up, struct reeve_buf *text, struct reeve_why *why)
{
    static const char head[] =
        "# Made by `reeve up` at each start; changes here are lost. `manager` of its --config is the place for them.\n";
    const struct reeve_value *given = reeve_value_get(up->config, "manager");
    REEVE_VALUE_AUTO config = reeve_value_map();
    if (given != NULL && reeve_value_kind(given) != REEVE_MAP && reeve_value_kind(given) != REEVE_NULL) {
        return reeve_fail(why, REEVE_INVALID, "%s: manager: %s given, expected a map such as {pools_dir: pools}",
                          up->config_path, reeve_kind_text(reeve_value_kind(given)));
    }
    put(config, "manager", manager_section(up));
    put(config, "broker", broker_section(up));
    reeve_buf_puts(text, head);
    enum reeve_err err = reeve_value_built(config);
    if (err == REEVE_OK) {
        err = reeve_yaml_write(config, text);
    }
    return err == REEVE_OK ? err : reeve_fail(why, err, "the manager's configuration can't be written");
}

// The manager knows what may stand in it; the places are those of the file that was made, the paths those of the
// user's.
static enum reeve_err check(const struct up *up, const char *path, struct reeve_why *why)
{
    char program[PATH_MAX];
    (void)snprintf(program, sizeof program, "%s/reeve-manager", up->bin_dir);
    const char *const argv[] = {program, "--check", "--config", path, NULL};
    int code = up_run(argv, true);
    if (code < 0) {
        return reeve_fail(why, REEVE_NOENT, "%s can't be run", program);
    }
    return code == 0 ? REEVE_OK
                     : reeve_fail(why, REEVE_INVALID, "the `manager` section of %s is not right",
                                  up->config_path[0] != '\0' ? up->config_path : path);
}

enum reeve_err up_manager_write(const struct up *up, bool *ret_changed, struct reeve_why *why)
{
    char path[PATH_MAX];
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(CONFIG_MAX);
    REEVE_BUF_AUTO before = REEVE_BUF_INIT(CONFIG_MAX);
    (void)up_path(up, "manager.yaml", path);
    enum reeve_err err = render(up, &text, why);
    if (err != REEVE_OK) {
        return err;
    }
    bool known = reeve_file_read(path, CONFIG_MAX - 1, &before, NULL) == REEVE_OK;
    bool changed = !known || strcmp(reeve_buf_str(&before), reeve_buf_str(&text)) != 0;
    err = reeve_file_write_atomic(path, text.data, text.len, 0600, why);
    if (err == REEVE_OK) {
        err = check(up, path, why);
    }
    if (err != REEVE_OK && known && changed) { // a mistake must not keep the next manager from starting
        (void)reeve_file_write_atomic(path, before.data, before.len, 0600, NULL); /* the error stands already */
    }
    if (ret_changed != NULL) {
        *ret_changed = err == REEVE_OK && changed;
    }
    return err;
}
