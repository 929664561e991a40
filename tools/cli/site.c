// From options, environment and files to a broker record; see site.h.
// Must not: print secrets; errors name files and users only.
#include "site.h"

#include <reeve/codec.h>
#include <reeve/file.h>
#include <reeve/id.h>
#include <reeve/units.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SITE_JSON_MAX (64u << 10)

void site_done(struct site *site)
{
    if (site->broker.password != NULL) {
        explicit_bzero(site->broker.password, strlen(site->broker.password));
    }
    reeve_record_done(&reeve_broker_record, &site->broker);
    free(site->root);
    site->root = NULL;
}

// ---- folders --------------------------------------------------------------------------------------------------

enum reeve_err site_dir_preset(char buf[PATH_MAX], struct reeve_why *why)
{
    const char *xdg = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int len;
    if (xdg != NULL && xdg[0] == '/') {
        len = snprintf(buf, PATH_MAX, "%s/reeve/site", xdg);
    } else if (geteuid() == 0) {
        len = snprintf(buf, PATH_MAX, "/var/lib/reeve/site");
    } else if (home != NULL && home[0] == '/') {
        len = snprintf(buf, PATH_MAX, "%s/.local/state/reeve/site", home);
    } else {
        return reeve_fail(why, REEVE_INVALID, "neither HOME nor XDG_STATE_HOME is set; say --site DIR");
    }
    return len < PATH_MAX ? REEVE_OK : reeve_fail(why, REEVE_INVALID, "the path of the site is too long");
}

enum reeve_err site_dir(const char *given, char buf[PATH_MAX], struct reeve_why *why)
{
    const char *from_env = getenv("REEVE_SITE");
    if (given == NULL && from_env != NULL && from_env[0] != '\0') {
        given = from_env;
    }
    if (given == NULL) {
        return site_dir_preset(buf, why);
    }
    char here[PATH_MAX] = "";
    bool relative = given[0] != '/';
    if (given[0] == '\0' || (relative && getcwd(here, sizeof here) == NULL)) {
        return reeve_fail(why, REEVE_INVALID, "the folder of the site is empty");
    }
    int len = snprintf(buf, PATH_MAX, "%s%s%s", here, relative ? "/" : "", given);
    if (len >= PATH_MAX) {
        return reeve_fail(why, REEVE_INVALID, "the path of the site is too long");
    }
    while (len > 1 && buf[len - 1] == '/') {
        buf[--len] = '\0';
    }
    return REEVE_OK;
}

// ---- site.json ------------------------------------------------------------------------------------------------

static enum reeve_err set_text(char **member, const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL) {
        return REEVE_NOMEM;
    }
    free(*member);
    *member = copy;
    return REEVE_OK;
}

static enum reeve_err take_user(const struct reeve_value *json, const char *path, const char *user, struct site *ret,
                                struct reeve_why *why)
{
    const struct reeve_value *users = reeve_value_get(json, "users");
    const struct reeve_value *entry = reeve_value_get(users, user);
    const char *name = reeve_get_str(entry, "username");
    const char *password = reeve_get_str(entry, "password");
    if (entry == NULL) {
        return reeve_fail_at(why, REEVE_INVALID, path,
                             "there is no user '%.64s' in it, expected admin, operator, viewer or producer", user);
    }
    if (name == NULL || password == NULL) {
        return reeve_fail_at(why, REEVE_INVALID, path, "users.%.64s: username or password is missing", user);
    }
    enum reeve_err err = set_text(&ret->broker.username, name);
    return err == REEVE_OK ? set_text(&ret->broker.password, password) : err;
}

static enum reeve_err take_site(const struct reeve_value *json, const char *path, const char *user, struct site *ret,
                                struct reeve_why *why)
{
    const struct reeve_value *broker = reeve_value_get(json, "broker");
    const char *host = reeve_get_str(broker, "host");
    int64_t port = reeve_get_int(broker, "port", 0);
    const char *root = reeve_get_str(json, "root");
    const char *node = reeve_get_str(json, "node");
    if (host == NULL || port < 1 || port > 65535 || root == NULL || node == NULL) {
        return reeve_fail_at(why, REEVE_INVALID, path, "broker.host, broker.port, root or node is missing or wrong");
    }
    char url[512];
    (void)snprintf(url, sizeof url, "mqtt://%.255s:%lld", host, (long long)port);
    enum reeve_err err = set_text(&ret->broker.url, url);
    if (err == REEVE_OK) {
        err = set_text(&ret->root, root);
    }
    if (err == REEVE_OK && reeve_name_check(node, why) != REEVE_OK) {
        return REEVE_INVALID;
    }
    (void)snprintf(ret->node, sizeof ret->node, "%s", node);
    return err == REEVE_OK ? take_user(json, path, user, ret, why) : err;
}

enum reeve_err site_from_json(const char *text, size_t len, const char *path, const char *user, struct site *ret,
                              struct reeve_why *why)
{
    REEVE_VALUE_AUTO json = NULL;
    enum reeve_err err = reeve_json_read(text, len, &reeve_limits_file, path, &json, why);
    return err == REEVE_OK ? take_site(json, path, user != NULL ? user : "admin", ret, why) : err;
}

static enum reeve_err no_site(const struct site *site, const char *path, struct reeve_why *why)
{
    bool stopped = access(site->dir, F_OK) == 0;
    (void)path;
    return stopped
               ? reeve_fail(why, REEVE_OFFLINE, "the site in %.200s is not running; `reeve up` starts it", site->dir)
               : reeve_fail(why, REEVE_OFFLINE,
                            "there is no site in %.200s; `reeve up` starts one, --site DIR names another", site->dir);
}

static enum reeve_err load_site(const struct invocation *inv, struct site *ret, struct reeve_why *why)
{
    char path[PATH_MAX + 16];
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(SITE_JSON_MAX);
    enum reeve_err err = site_dir(opt_value(inv, OPT_SITE), ret->dir, why);
    if (err != REEVE_OK) {
        return err;
    }
    (void)snprintf(path, sizeof path, "%s/site.json", ret->dir);
    err = reeve_file_read_secret(path, SITE_JSON_MAX, &text, why);
    if (err == REEVE_NOENT) {
        return no_site(ret, path, why);
    }
    if (err == REEVE_OK) {
        err = site_from_json(reeve_buf_str(&text), text.len, path, opt_value(inv, OPT_USER), ret, why);
    }
    if (text.data != NULL) {
        explicit_bzero(text.data, text.cap);
    }
    return err;
}

// ---- options --------------------------------------------------------------------------------------------------

void site_key_user(const char *api_key, char buf[REEVE_NAME_SIZE])
{
    (void)snprintf(buf, REEVE_NAME_SIZE, "key-%08x", (unsigned)(reeve_hash64(api_key, strlen(api_key)) & 0xffffffffu));
}

enum reeve_err site_timeout(const struct invocation *inv, int64_t preset_ms, int64_t *ret_ms, struct reeve_why *why)
{
    const char *text = opt_value(inv, OPT_TIMEOUT);
    struct reeve_why reason;
    *ret_ms = preset_ms;
    if (text == NULL) {
        return REEVE_OK;
    }
    enum reeve_err err = reeve_duration_parse(text, ret_ms, &reason);
    if (err != REEVE_OK || *ret_ms <= 0 || *ret_ms > 7LL * 86400 * 1000) {
        return reeve_fail(why, REEVE_INVALID, "--timeout: %s", err != REEVE_OK ? reason.text : "expected 1ms to 7d");
    }
    return REEVE_OK;
}

static enum reeve_err take_version(const char *text, struct site *ret, struct reeve_why *why)
{
    if (strcmp(text, "5") == 0) {
        ret->broker.version = 5;
    } else if (strcmp(text, "3.1.1") == 0) {
        ret->broker.version = 4;
    } else {
        return reeve_fail(why, REEVE_INVALID, "--mqtt: '%.40s' given, expected 5 or 3.1.1", text);
    }
    return REEVE_OK;
}

// Options that say the same as a file's key win over it.
static enum reeve_err take_options(const struct invocation *inv, struct site *ret, struct reeve_why *why)
{
    const struct {
        enum option_id id;
        char **member;
    } rows[] = {
        {OPT_BROKER, &ret->broker.url},
        {OPT_PASSWORD_FILE, &ret->broker.password_file},
        {OPT_ROOT, &ret->root},
        {OPT_CA_FILE, &ret->broker.ca_file},
        {OPT_CERT_FILE, &ret->broker.cert_file},
        {OPT_KEY_FILE, &ret->broker.key_file},
    };
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < REEVE_ARRAY_LEN(rows); i++) {
        const char *value = opt_value(inv, rows[i].id);
        err = value != NULL ? set_text(rows[i].member, value) : REEVE_OK;
    }
    const char *user = opt_value(inv, OPT_USER);
    if (err == REEVE_OK && user != NULL && ret->dir[0] == '\0') {
        err = set_text(&ret->broker.username, user);
    }
    const char *version = opt_value(inv, OPT_MQTT);
    if (err == REEVE_OK && version != NULL) {
        err = take_version(version, ret, why);
    }
    return err;
}

// Read again by the bus; here so that a file that can't be used is a mistake of who named it, and not of the broker.
static enum reeve_err check_password_file(const char *path, struct reeve_why *why)
{
    REEVE_BUF_AUTO password = REEVE_BUF_INIT(4096);
    enum reeve_err err = reeve_file_read_secret(path, 4095, &password, why);
    if (password.data != NULL) {
        explicit_bzero(password.data, password.cap);
    }
    return err == REEVE_OK || err == REEVE_NOMEM ? err : REEVE_INVALID;
}

static enum reeve_err settle(struct site *ret, struct reeve_why *why)
{
    if (ret->broker.password_file != NULL) { // it wins over a password of the site or profile
        free(ret->broker.password);
        ret->broker.password = NULL;
    }
    if ((ret->broker.password_file != NULL || ret->broker.password != NULL) && ret->broker.username == NULL) {
        return reeve_fail(why, REEVE_INVALID, "--password-file without --user: whose password is it?");
    }
    if (ret->broker.password_file != NULL) {
        enum reeve_err err = check_password_file(ret->broker.password_file, why);
        if (err != REEVE_OK) {
            return err;
        }
    }
    if (ret->broker.cert_file != NULL && ret->broker.key_file == NULL) {
        return reeve_fail(why, REEVE_INVALID, "--cert-file needs --key-file");
    }
    if (ret->root == NULL && set_text(&ret->root, REEVE_ROOT_PRESET) != REEVE_OK) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    (void)reeve_name_from(ret->broker.username != NULL ? ret->broker.username : "reeve-cli", ret->client);
    return reeve_root_check(ret->root, why);
}

enum reeve_err site_load(const struct invocation *inv, struct site *ret, struct reeve_why *why)
{
    const char *profile = opt_value(inv, OPT_PROFILE);
    bool direct = opt_given(inv, OPT_BROKER);
    *ret = (struct site){.timeout_ms = TIMEOUT_PRESET_MS};
    enum reeve_err err = REEVE_OK;
    if (direct && opt_given(inv, OPT_SITE)) {
        err = reeve_fail(why, REEVE_INVALID, "--broker and --site exclude each other");
    } else if (profile != NULL && opt_given(inv, OPT_SITE)) {
        err = reeve_fail(why, REEVE_INVALID, "--profile and --site exclude each other");
    } else if (profile != NULL) {
        err = profile_load(profile, ret, why);
    } else if (!direct) {
        err = load_site(inv, ret, why);
    }
    if (err == REEVE_OK) {
        err = take_options(inv, ret, why);
    }
    if (err == REEVE_OK) {
        err = settle(ret, why);
    }
    if (err == REEVE_OK) {
        err = site_timeout(inv, ret->timeout_ms, &ret->timeout_ms, why);
    }
    if (err == REEVE_NOMEM) {
        return reeve_fail(why, err, "out of memory");
    }
    return err;
}
