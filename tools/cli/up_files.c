// Making the files of an embedded site. Everything is 0600 in folders of 0700 and written whole.
// Must not: start anything, or change what the person wrote.
#include "up_files.h"
#include "site.h"

#include <netinet/in.h>
#include <openssl/evp.h>
#include <pwd.h>
#include <reeve/codec.h>
#include <reeve/file.h>
#include <reeve/id.h>
#include <reeve/topic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TEMPLATE_MAX (256u << 10)
#define PORT_PRESET 1883
#define ADDRESS "127.0.0.1"

const char *const up_role_names[UP_ROLE_COUNT] = {"admin", "operator", "viewer", "manager", "worker", "node"};

static enum reeve_err no_memory(struct reeve_why *why)
{
    return reeve_fail(why, REEVE_NOMEM, "out of memory");
}

static const char *path_in(const struct up_site *site, const char *leaf, char buf[PATH_MAX + 64])
{
    (void)snprintf(buf, PATH_MAX + 64, "%s/%s", site->dir, leaf);
    return buf;
}

static const char *username_of(const struct up_site *site, enum up_role role)
{
    return role == UP_NODE ? site->node : up_role_names[role];
}

static enum reeve_err write_json(const struct up_site *site, const char *leaf, const struct reeve_value *value,
                                 struct reeve_why *why)
{
    char path[PATH_MAX + 64];
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(1u << 20);
    enum reeve_err err = reeve_value_built(value);
    if (err == REEVE_OK) {
        err = reeve_json_write(value, REEVE_JSON_PRETTY, &text);
    }
    if (err != REEVE_OK) {
        return no_memory(why);
    }
    reeve_buf_puts(&text, "\n");
    err = reeve_file_write_atomic(path_in(site, leaf, path), text.data, text.len, 0600, why);
    explicit_bzero(text.data, text.cap);
    return err;
}

// ---- credentials --------------------------------------------------------------------------------------------

static void new_password(char password[UP_PASSWORD_LEN + 1])
{
    static const char letters[] = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
    for (size_t i = 0; i < UP_PASSWORD_LEN;) {
        uint8_t byte;
        reeve_random_bytes(&byte, sizeof byte);
        if (byte < 256 - 256 % (sizeof letters - 1)) { // no letter more likely than another
            password[i++] = letters[byte % (sizeof letters - 1)];
        }
    }
    password[UP_PASSWORD_LEN] = '\0';
}

static void take_passwords(struct up_site *site, const struct reeve_value *kept)
{
    const struct reeve_value *users = reeve_value_get(kept, "passwords");
    for (int role = 0; role < UP_ROLE_COUNT; role++) {
        const char *password = reeve_get_str(users, up_role_names[role]);
        if (password != NULL && strlen(password) == UP_PASSWORD_LEN) {
            memcpy(site->passwords[role], password, UP_PASSWORD_LEN + 1);
        } else {
            new_password(site->passwords[role]);
        }
    }
}

static enum reeve_err write_credentials(const struct up_site *site, struct reeve_why *why)
{
    REEVE_VALUE_AUTO kept = reeve_value_map();
    struct reeve_value *users = reeve_value_map();
    for (int role = 0; role < UP_ROLE_COUNT; role++) {
        reeve_put_str(users, up_role_names[role], site->passwords[role]);
    }
    reeve_put_str(kept, "node", site->node);
    reeve_put_int(kept, "port", site->port);
    (void)reeve_value_put(kept, "passwords", users); /* remembered: reeve_value_built() */
    return write_json(site, "credentials.json", kept, why);
}

// mosquitto_passwd's form: $7$<rounds>$<salt>$<PBKDF2-HMAC-SHA512>, salt of 12 bytes, hash of 64, base 64.
static enum reeve_err hash_password(const char *password, struct reeve_buf *out, struct reeve_why *why)
{
    enum { ROUNDS = 101, SALT_LEN = 12, HASH_LEN = 64 };
    unsigned char salt[SALT_LEN];
    unsigned char hash[HASH_LEN];
    unsigned char salt_text[32];
    unsigned char hash_text[96];
    reeve_random_bytes(salt, sizeof salt);
    if (PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, SALT_LEN, ROUNDS, EVP_sha512(), HASH_LEN, hash) != 1) {
        return reeve_fail(why, REEVE_INTERNAL, "a password can't be hashed");
    }
    (void)EVP_EncodeBlock(salt_text, salt, SALT_LEN);
    (void)EVP_EncodeBlock(hash_text, hash, HASH_LEN);
    reeve_buf_printf(out, "$7$%d$%s$%s", ROUNDS, salt_text, hash_text);
    return out->err;
}

static enum reeve_err add_user(struct reeve_buf *out, const char *user, const char *password, struct reeve_why *why)
{
    reeve_buf_printf(out, "%s:", user);
    enum reeve_err err = hash_password(password, out, why);
    reeve_buf_puts(out, "\n");
    return err;
}

static enum reeve_err write_password_file(const struct up_site *site, struct reeve_why *why)
{
    char path[PATH_MAX + 64];
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(1u << 20);
    enum reeve_err err = REEVE_OK;
    for (int role = 0; err == REEVE_OK && role < UP_ROLE_COUNT; role++) {
        err = add_user(&text, username_of(site, (enum up_role)role), site->passwords[role], why);
    }
    for (size_t i = 0; err == REEVE_OK && i < site->api_keys.len; i++) {
        char user[REEVE_NAME_SIZE];
        site_key_user(site->api_keys.items[i], user);
        err = add_user(&text, user, site->api_keys.items[i], why);
    }
    if (err == REEVE_OK) {
        err = reeve_file_write_atomic(path_in(site, "broker/passwords", path), text.data, text.len, 0600, why);
    }
    return err;
}

// ---- templates ----------------------------------------------------------------------------------------------

struct mark {
    const char *name; // @NAME@
    const char *value;
};

static void fill(const char *template, const struct mark *marks, struct reeve_buf *out)
{
    while (*template != '\0') {
        bool filled = false;
        for (const struct mark *mark = marks; *template == '@' && mark->name != NULL; mark++) {
            size_t len = strlen(mark->name);
            if (strncmp(template, mark->name, len) == 0) {
                reeve_buf_puts(out, mark->value);
                template += len;
                filled = true;
                break;
            }
        }
        if (!filled) {
            reeve_buf_append(out, template++, 1);
        }
    }
}

static enum reeve_err read_template(const struct up_site *site, const char *name, struct reeve_buf *ret, struct reeve_why *why)
{
    char path[PATH_MAX + 128];
    (void)snprintf(path, sizeof path, "%s/../share/reeve/broker-config/%s", site->bin_dir, name);
    return reeve_file_read(path, TEMPLATE_MAX, ret, why);
}

static const char *this_user(void)
{
    const struct passwd *entry = getpwuid(geteuid());
    return entry != NULL ? entry->pw_name : "root";
}

static enum reeve_err write_conf(const struct up_site *site, struct reeve_why *why)
{
    char path[PATH_MAX + 64];
    char broker_dir[PATH_MAX + 64];
    char port[16];
    REEVE_BUF_AUTO template = REEVE_BUF_INIT(TEMPLATE_MAX + 1);
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(TEMPLATE_MAX * 2);
    (void)snprintf(port, sizeof port, "%d", site->port);
    const struct mark marks[] = {
        {"@PORT@", port}, {"@DIR@", path_in(site, "broker", broker_dir)}, {"@USER@", this_user()}, {NULL, NULL}};
    enum reeve_err err = read_template(site, "mosquitto.conf.in", &template, why);
    if (err != REEVE_OK) {
        return err;
    }
    fill(reeve_buf_str(&template), marks, &text);
    return reeve_file_write_atomic(path_in(site, "broker/mosquitto.conf", path), text.data, text.len, 0600, why);
}

// The operator's block again under another name: from its `user` line to the next one.
static void add_operator(struct reeve_buf *acl, const char *text, const char *user)
{
    const char *from = strstr(text, "\nuser operator\n");
    if (from == NULL) {
        return;
    }
    from += strlen("\nuser operator\n");
    const char *to = strstr(from, "\nuser ");
    reeve_buf_printf(acl, "\nuser %s\n", user);
    reeve_buf_append(acl, from, to != NULL ? (size_t)(to - from) : strlen(from));
}

static enum reeve_err write_acl(const struct up_site *site, struct reeve_why *why)
{
    char path[PATH_MAX + 64];
    REEVE_BUF_AUTO template = REEVE_BUF_INIT(TEMPLATE_MAX + 1);
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(TEMPLATE_MAX * 2);
    REEVE_BUF_AUTO more = REEVE_BUF_INIT(TEMPLATE_MAX * 4);
    const struct mark marks[] = {{"@ROOT@", site->root}, {"@NODE@", site->node}, {NULL, NULL}};
    enum reeve_err err = read_template(site, "acl.in", &template, why);
    if (err != REEVE_OK) {
        return err;
    }
    fill(reeve_buf_str(&template), marks, &text);
    for (size_t i = 0; i < site->api_keys.len; i++) {
        char user[REEVE_NAME_SIZE];
        site_key_user(site->api_keys.items[i], user);
        add_operator(&more, reeve_buf_str(&text), user);
    }
    reeve_buf_append(&text, reeve_buf_str(&more), more.len);
    if (text.err != REEVE_OK) {
        return no_memory(why);
    }
    return reeve_file_write_atomic(path_in(site, "broker/acl", path), text.data, text.len, 0600, why);
}

// ---- the node's configuration ----------------------------------------------------------------------------------

static struct reeve_value *broker_record(const struct up_site *site, enum up_role role)
{
    char url[64];
    struct reeve_value *broker = reeve_value_map();
    (void)snprintf(url, sizeof url, "mqtt://" ADDRESS ":%d", site->port);
    reeve_put_str(broker, "url", url);
    reeve_put_str(broker, "username", username_of(site, role));
    reeve_put_str(broker, "password", site->passwords[role]);
    return broker;
}

static void put_map(struct reeve_value *map, const char *key, struct reeve_value *item)
{
    (void)reeve_value_put(map, key, item); /* remembered: reeve_value_built() */
}

static struct reeve_value *broker_worker(const struct up_site *site)
{
    char text[PATH_MAX + 64];
    struct reeve_value *worker = reeve_value_map();
    struct reeve_value *command = reeve_value_list();
    struct reeve_value *ready = reeve_value_map();
    struct reeve_value *restart = reeve_value_map();
    (void)snprintf(text, sizeof text, "%s/reeve-worker-broker", site->bin_dir);
    (void)reeve_value_add(command, reeve_value_str(text));        /* remembered: reeve_value_built() */
    (void)reeve_value_add(command, reeve_value_str("--config"));  /* as above */
    (void)reeve_value_add(command, reeve_value_str(path_in(site, "broker/mosquitto.conf", text))); /* as above */
    reeve_put_int(ready, "tcp", site->port);
    reeve_put_str(restart, "initial", "100ms");
    reeve_put_str(restart, "max", "5s");
    reeve_put_int(restart, "limit", 0); // without it nobody could be told
    reeve_put_str(worker, "name", "broker");
    put_map(worker, "command", command);
    put_map(worker, "ready", ready);
    put_map(worker, "restart", restart);
    return worker;
}

static enum reeve_err write_node(const struct up_site *site, struct reeve_why *why)
{
    char path[PATH_MAX + 64];
    REEVE_VALUE_AUTO config = reeve_value_map();
    struct reeve_value *node = reeve_value_map();
    struct reeve_value *workers = reeve_value_list();
    reeve_put_str(node, "name", site->node);
    reeve_put_str(node, "root", site->root);
    reeve_put_str(node, "state_dir", path_in(site, "state", path));
    reeve_put_str(node, "on_exit", "stop");
    reeve_put_str(node, "broker_worker", "broker");
    (void)reeve_value_add(workers, broker_worker(site)); /* remembered: reeve_value_built() */
    reeve_put_str_opt(config, "include", site->config);
    put_map(config, "node", node);
    put_map(config, "broker", broker_record(site, UP_NODE));
    put_map(config, "worker_broker", broker_record(site, UP_WORKER));
    put_map(config, "workers", workers);
    return write_json(site, "node.json", config, why);
}

// ---- what was kept, and what the person gave -------------------------------------------------------------------

static enum reeve_err make_folders(const struct up_site *site, struct reeve_why *why)
{
    char path[PATH_MAX + 64];
    enum reeve_err err = reeve_dir_make(site->dir, 0700, why);
    return err == REEVE_OK ? reeve_dir_make(path_in(site, "broker", path), 0700, why) : err;
}

static enum reeve_err read_kept(const struct up_site *site, struct reeve_value **ret, struct reeve_why *why)
{
    char path[PATH_MAX + 64];
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(TEMPLATE_MAX + 1);
    enum reeve_err err = reeve_file_read_secret(path_in(site, "credentials.json", path), TEMPLATE_MAX, &text, why);
    if (err == REEVE_NOENT) {
        *ret = reeve_value_map();
        return *ret != NULL ? REEVE_OK : no_memory(why);
    }
    return err == REEVE_OK ? reeve_json_read(reeve_buf_str(&text), text.len, &reeve_limits_file, path, ret, why) : err;
}

static enum reeve_err take_keys(struct up_site *site, const struct reeve_value *config, struct reeve_why *why)
{
    const struct reeve_value *keys = reeve_value_get(reeve_value_get(config, "security"), "api_keys");
    for (size_t i = 0; i < reeve_value_len(keys); i++) {
        const char *key = reeve_value_text(reeve_value_at(keys, i));
        if (key != NULL && reeve_strv_add(&site->api_keys, key) != REEVE_OK) {
            return no_memory(why);
        }
    }
    return REEVE_OK;
}

static enum reeve_err read_config(const struct up_site *site, struct reeve_value **ret, struct reeve_why *why)
{
    if (site->config[0] == '\0') {
        *ret = NULL;
        return REEVE_OK;
    }
    return reeve_file_read_value(site->config, &reeve_limits_file, ret, why);
}

static enum reeve_err settle_node(struct up_site *site, const char *configured, const char *kept, struct reeve_why *why)
{
    const char *name = configured != NULL ? configured : kept;
    if (site->node[0] == '\0' && name != NULL) {
        (void)snprintf(site->node, sizeof site->node, "%s", name);
    } else if (site->node[0] == '\0') {
        char host[256] = "node";
        (void)gethostname(host, sizeof host - 1);
        host[strcspn(host, ".")] = '\0';
        (void)reeve_name_from(host, site->node);
    }
    for (int role = 0; role < UP_NODE; role++) {
        if (strcmp(site->node, up_role_names[role]) == 0) {
            return reeve_fail(why, REEVE_INVALID, "a node can't be called '%s': that is a role's username", site->node);
        }
    }
    return reeve_name_check(site->node, why);
}

enum reeve_err up_port_find(int wanted, int *ret_port, struct reeve_why *why)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)wanted),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    if (fd < 0) {
        return reeve_fail_errno(why, "socket");
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // Listening is what tells: with SO_REUSEADDR alone a bind may succeed beside another.
    bool free_now = bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 1) == 0 &&
                    getsockname(fd, (struct sockaddr *)&address, &len) == 0;
    close(fd);
    if (!free_now) {
        return reeve_fail(why, REEVE_CONFLICT, "port %d is taken; --port 0 takes any that is free", wanted);
    }
    *ret_port = ntohs(address.sin_port);
    return REEVE_OK;
}

// Given: that one. Configured or kept: that one. Otherwise MQTT's own, or any.
static enum reeve_err settle_port(struct up_site *site, int64_t configured, int64_t kept, struct reeve_why *why)
{
    int64_t wanted = site->port >= 0 ? site->port : configured > 0 ? configured : kept;
    if (wanted >= 0) {
        return up_port_find((int)wanted, &site->port, why);
    }
    return up_port_find(PORT_PRESET, &site->port, NULL) == REEVE_OK ? REEVE_OK : up_port_find(0, &site->port, why);
}

enum reeve_err up_files_prepare(struct up_site *site, struct reeve_why *why)
{
    REEVE_VALUE_AUTO kept = NULL;
    REEVE_VALUE_AUTO config = NULL;
    enum reeve_err err = make_folders(site, why);
    if (err == REEVE_OK) {
        err = read_kept(site, &kept, why);
    }
    if (err == REEVE_OK) {
        err = read_config(site, &config, why);
    }
    if (err == REEVE_OK) {
        err = take_keys(site, config, why);
    }
    if (err == REEVE_OK) {
        err = settle_node(site, reeve_get_str(reeve_value_get(config, "node"), "name"), reeve_get_str(kept, "node"), why);
    }
    if (err == REEVE_OK) {
        err = settle_port(site, reeve_get_int(reeve_value_get(config, "daemon"), "port", -1), reeve_get_int(kept, "port", -1),
                          why);
    }
    if (err == REEVE_OK) {
        take_passwords(site, kept);
    }
    return err;
}

enum reeve_err up_files_write(const struct up_site *site, struct reeve_why *why)
{
    enum reeve_err (*const writers[])(const struct up_site *site, struct reeve_why *why) = {
        write_credentials, write_password_file, write_conf, write_acl, write_node};
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < REEVE_ARRAY_LEN(writers); i++) {
        err = writers[i](site, why);
    }
    return err;
}

// ---- site.json --------------------------------------------------------------------------------------------------

enum reeve_err up_site_json_write(const struct up_site *site, struct reeve_why *why)
{
    REEVE_VALUE_AUTO json = reeve_value_map();
    struct reeve_value *broker = reeve_value_map();
    struct reeve_value *users = reeve_value_map();
    reeve_put_str(broker, "host", ADDRESS);
    reeve_put_int(broker, "port", site->port);
    for (int role = 0; role <= UP_VIEWER; role++) {
        struct reeve_value *user = reeve_value_map();
        reeve_put_str(user, "username", up_role_names[role]);
        reeve_put_str(user, "password", site->passwords[role]);
        put_map(users, up_role_names[role], user);
    }
    put_map(json, "broker", broker);
    reeve_put_str(json, "root", site->root);
    reeve_put_str(json, "node", site->node);
    put_map(json, "users", users);
    return write_json(site, "site.json", json, why);
}

void up_site_json_remove(const struct up_site *site)
{
    char path[PATH_MAX + 64];
    (void)unlink(path_in(site, "site.json", path)); // absent is fine
}

void up_site_done(struct up_site *site)
{
    reeve_strv_done(&site->api_keys);
    explicit_bzero(site->passwords, sizeof site->passwords);
}
