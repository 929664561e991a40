// The files of a site's folder: credentials, the broker's files, site.json; and the choice of port and name.
// Must not: print secrets, or leave one in a file that others can read.
#include "output.h"
#include "site.h"
#include "up.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <reeve/clock.h>
#include <reeve/codec.h>
#include <reeve/file.h>
#include <reeve/id.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PASSWORD_LEN 24 // of 62 characters: 142 bits
#define PORT_PRESET  1883
#define FORMER_MS    20000 // how long a daemon of an earlier `up` may take to leave
#define TEMPLATE_MAX (256u << 10)
#define FILLED_MAX   (1u << 20)

const char *const up_roles[] = {"admin", "operator", "viewer", "producer", "manager", "worker", NULL};

const char *up_path(const struct up *up, const char *below, char buf[PATH_MAX])
{
    (void)snprintf(buf, PATH_MAX, "%s/%s", up->dir, below); /* UP_PATH_MAX leaves room */
    return buf;
}

enum reeve_err up_find_bin_dir(struct up *up, struct reeve_why *why)
{
    ssize_t len = readlink("/proc/self/exe", up->bin_dir, sizeof up->bin_dir - 1);
    if (len <= 0) {
        return reeve_fail_errno(why, "/proc/self/exe");
    }
    up->bin_dir[len] = '\0';
    char *slash = strrchr(up->bin_dir, '/');
    *(slash != NULL && slash != up->bin_dir ? slash : up->bin_dir + 1) = '\0';
    return REEVE_OK;
}

// ---- folders and lock -----------------------------------------------------------------------------------------

// A lock has no event to wait for.
static void doze(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 20000000L}, NULL); /* a signal ends it early: as good */
}

// While one runs here, site.json is there; one that is on its way out has removed it already and is waited for.
static enum reeve_err take_lock(struct up *up, struct reeve_why *why)
{
    char path[PATH_MAX];
    char site[PATH_MAX];
    int64_t end_mono = reeve_clock_mono_ms() + FORMER_MS;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    up->lock_fd = open(up_path(up, "lock", path), O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (up->lock_fd < 0) {
        return reeve_fail_errno(why, "open %s", path);
    }
    (void)up_path(up, "site.json", site);
    bool taken = fcntl(up->lock_fd, F_SETLK, &lock) == 0;
    while (!taken && access(site, F_OK) != 0 && reeve_clock_mono_ms() < end_mono) {
        doze();
        taken = fcntl(up->lock_fd, F_SETLK, &lock) == 0;
    }
    if (taken) {
        return REEVE_OK;
    }
    (void)fcntl(up->lock_fd, F_GETLK, &lock); /* without a holder the number is ours: it has just gone */
    return reeve_fail(why, REEVE_CONFLICT,
                      "a site runs in %s already (process %d); stop that one, or take another --dir", up->dir,
                      (int)lock.l_pid);
}

enum reeve_err up_make_dirs(struct up *up, struct reeve_why *why)
{
    static const char *const below[] = {"", "broker", "credentials", "state", "state/manager"};
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < REEVE_ARRAY_LEN(below); i++) {
        char path[PATH_MAX];
        err = reeve_dir_make(up_path(up, below[i], path), 0700, why);
        if (err == REEVE_OK && chmod(path, 0700) != 0) {
            err = reeve_fail_errno(why, "%s can't be made private", path);
        }
    }
    return err == REEVE_OK ? take_lock(up, why) : err;
}

enum reeve_err up_await_former(const struct up *up, struct reeve_why *why)
{
    char path[PATH_MAX];
    int fd = open(up_path(up, "state/lock", path), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return REEVE_OK; // never started here
    }
    int64_t end_mono = reeve_clock_mono_ms() + FORMER_MS;
    struct flock lock;
    do {
        lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
        if (fcntl(fd, F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) {
            close(fd);
            return REEVE_OK;
        }
        doze();
    } while (reeve_clock_mono_ms() < end_mono);
    close(fd);
    return reeve_fail(why, REEVE_CONFLICT, "a node daemon (process %d) works in %s/state and does not leave",
                      (int)lock.l_pid, up->dir);
}

// ---- small things that are kept ---------------------------------------------------------------------------------

bool up_read_word(const struct up *up, const char *below, char *ret, size_t ret_len)
{
    char path[PATH_MAX];
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(4096);
    if (reeve_file_read(up_path(up, below, path), 4095, &text, NULL) != REEVE_OK) {
        return false;
    }
    size_t len = strcspn(reeve_buf_str(&text), "\r\n");
    if (len == 0 || len >= ret_len) {
        return false;
    }
    memcpy(ret, text.data, len);
    ret[len] = '\0';
    return true;
}

static enum reeve_err write_word(const struct up *up, const char *below, const char *word, struct reeve_why *why)
{
    char path[PATH_MAX];
    char line[4096];
    int len = snprintf(line, sizeof line, "%s\n", word);
    return reeve_file_write_atomic(up_path(up, below, path), line, (size_t)len, 0600, why);
}

static bool is_role(const char *name)
{
    for (size_t i = 0; up_roles[i] != NULL; i++) {
        if (strcmp(up_roles[i], name) == 0) {
            return true;
        }
    }
    return false;
}

// What the broker keeps of a node that is called otherwise now would stay for ever: nobody renews or removes it. All
// who are connected publish their records again.
static void forget_retained(const struct up *up)
{
    char path[PATH_MAX];
    (void)unlink(up_path(up, "broker/mosquitto.db", path)); /* absent is what is wanted */
}

enum reeve_err up_choose_node(struct up *up, struct reeve_why *why)
{
    char host[256] = "node";
    struct reeve_why reason;
    const char *given = opt_value(up->inv, OPT_NAME);
    if (given != NULL && reeve_name_check(given, &reason) != REEVE_OK) {
        return reeve_fail(why, REEVE_INVALID, "--name: %s", reason.text);
    }
    if (given != NULL) {
        (void)snprintf(up->node, sizeof up->node, "%s", given);
    }
    char last[REEVE_NAME_SIZE] = "";
    bool known = up_read_word(up, "node", last, sizeof last);
    bool chosen = up->node[0] != '\0' || known;
    if (up->node[0] == '\0') {
        (void)snprintf(up->node, sizeof up->node, "%s", last);
    }
    if (!chosen || reeve_name_check(up->node, NULL) != REEVE_OK) {
        if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0') {
            (void)snprintf(host, sizeof host, "node");
        }
        host[strcspn(host, ".")] = '\0';
        (void)reeve_name_from(host, up->node);
    }
    if (is_role(up->node) && (given != NULL || chosen)) {
        return reeve_fail(why, REEVE_INVALID,
                          "node '%s' would be called like a role of the broker; take another --name", up->node);
    }
    if (is_role(up->node)) { // a host that is called so
        (void)snprintf(up->node, sizeof up->node, "node");
    }
    if (known && strcmp(last, up->node) != 0) {
        forget_retained(up);
    }
    return write_word(up, "node", up->node, why);
}

// ---- the port ---------------------------------------------------------------------------------------------------

// Binds it once. 0 gives any. -1 when it is taken, with errno.
static int64_t try_port(int64_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* as Mosquitto does */
    bool bound = bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 1) == 0 &&
                 getsockname(fd, (struct sockaddr *)&address, &len) == 0;
    int problem = errno;
    close(fd);
    errno = problem;
    return bound ? ntohs(address.sin_port) : -1;
}

static enum reeve_err any_port(struct up *up, struct reeve_why *why)
{
    up->port = try_port(0);
    up->port_chosen = true;
    return up->port > 0 ? REEVE_OK : reeve_fail_errno(why, "no free port on 127.0.0.1");
}

static enum reeve_err read_port(struct up *up, bool *ret_any, struct reeve_why *why)
{
    char word[16];
    const char *given = opt_value(up->inv, OPT_PORT);
    struct reeve_why reason;
    *ret_any = false;
    if (given != NULL && (reeve_parse_i64(given, &up->port, &reason) != REEVE_OK || up->port < 0 || up->port > 65535)) {
        return reeve_fail(why, REEVE_INVALID, "--port: '%.20s' given, expected 0 to 65535", given);
    }
    if (given != NULL) {
        *ret_any = up->port == 0;
    } else if (up->port == 0 &&
               (!up_read_word(up, "port", word, sizeof word) || reeve_parse_i64(word, &up->port, NULL) != REEVE_OK ||
                up->port < 1 || up->port > 65535)) {
        up->port = PORT_PRESET;
        *ret_any = try_port(up->port) < 0;
    }
    return REEVE_OK;
}

enum reeve_err up_choose_port(struct up *up, bool another, struct reeve_why *why)
{
    bool any = another;
    char word[16];
    enum reeve_err err = another ? REEVE_OK : read_port(up, &any, why);
    if (err == REEVE_OK && any) {
        err = any_port(up, why);
    } else if (err == REEVE_OK && try_port(up->port) < 0) {
        err = errno == EACCES
                  ? reeve_fail(why, REEVE_DENIED, "port %d needs root; take one from 1024, or --port 0", (int)up->port)
                  : reeve_fail(why, REEVE_CONFLICT, "port %d on 127.0.0.1 is taken; --port 0 takes one that is free",
                               (int)up->port);
    }
    if (err != REEVE_OK) {
        return err;
    }
    (void)snprintf(word, sizeof word, "%d", (int)up->port);
    return write_word(up, "port", word, why);
}

// ---- credentials ------------------------------------------------------------------------------------------------

static void new_password(char password[PASSWORD_LEN + 1])
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const unsigned fair = 256 - 256 % (sizeof letters - 1); // above it some letters would come more often
    for (size_t i = 0; i < PASSWORD_LEN;) {
        unsigned char byte;
        reeve_random_bytes(&byte, 1);
        if (byte < fair) {
            password[i++] = letters[byte % (sizeof letters - 1)];
        }
    }
    password[PASSWORD_LEN] = '\0';
}

static const char *credential_path(const struct up *up, const char *user, char buf[PATH_MAX])
{
    char below[REEVE_NAME_SIZE + 16];
    (void)snprintf(below, sizeof below, "credentials/%s", user);
    return up_path(up, below, buf);
}

enum reeve_err up_read_password(const struct up *up, const char *user, struct reeve_buf *ret, struct reeve_why *why)
{
    char path[PATH_MAX];
    enum reeve_err err = reeve_file_read_secret(credential_path(up, user, path), 4000, ret, why);
    if (err == REEVE_OK && ret->len == 0) {
        return reeve_fail(why, REEVE_CORRUPT, "%s is empty; remove it, and a new password is made", path);
    }
    return err;
}

static enum reeve_err keep_or_make(const struct up *up, const char *user, struct reeve_why *why)
{
    char path[PATH_MAX];
    char password[PASSWORD_LEN + 1];
    if (access(credential_path(up, user, path), F_OK) == 0) {
        REEVE_BUF_AUTO known = REEVE_BUF_INIT(4096);
        return up_read_password(up, user, &known, why);
    }
    new_password(password);
    enum reeve_err err = reeve_file_write_atomic(path, password, PASSWORD_LEN, 0600, why);
    explicit_bzero(password, sizeof password);
    return err;
}

enum reeve_err up_write_credentials(const struct up *up, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && up_roles[i] != NULL; i++) {
        err = keep_or_make(up, up_roles[i], why);
    }
    return err == REEVE_OK ? keep_or_make(up, up->node, why) : err;
}

// ---- the broker's files -------------------------------------------------------------------------------------------

struct filling {
    const char *name, *value;
};

static void fill(const char *text, const struct filling *fillings, struct reeve_buf *out)
{
    while (*text != '\0') {
        size_t len = strcspn(text, "@");
        reeve_buf_append(out, text, len);
        text += len;
        const struct filling *found = NULL;
        for (const struct filling *at = fillings; *text == '@' && at->name != NULL && found == NULL; at++) {
            size_t name_len = strlen(at->name);
            found = strncmp(text + 1, at->name, name_len) == 0 && text[name_len + 1] == '@' ? at : NULL;
        }
        if (found != NULL) {
            reeve_buf_puts(out, found->value);
            text += strlen(found->name) + 2;
        } else if (*text == '@') {
            reeve_buf_append(out, text++, 1);
        }
    }
}

static enum reeve_err read_template(const struct up *up, const char *name, struct reeve_buf *ret, struct reeve_why *why)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/../share/reeve/broker-config/%s", up->bin_dir, name);
    if (access(path, R_OK) != 0) {
        (void)snprintf(path, sizeof path, "%s/%s", REEVE_BROKER_CONFIG, name); // a build tree that was moved
    }
    return reeve_file_read(path, TEMPLATE_MAX, ret, why);
}

// Each api key is a user with an operator's rights: its block again, with another name.
static void put_key_users(const struct up *up, const char *acl, struct reeve_buf *out)
{
    const char *block = strstr(acl, "\nuser operator\n");
    if (block == NULL) {
        return;
    }
    const char *rights = block + strlen("\nuser operator\n");
    const char *end = strstr(rights, "\nuser ");
    for (size_t i = 0; i < up->keys.len; i++) {
        char user[REEVE_NAME_SIZE];
        site_key_user(up->keys.items[i], user);
        reeve_buf_printf(out, "\nuser %s\n%.*s\n", user, (int)(end != NULL ? end - rights : (long)strlen(rights)),
                         rights);
    }
}

static enum reeve_err write_filled(const struct up *up, const char *template, const char *below,
                                   const struct filling *fillings, struct reeve_why *why)
{
    char path[PATH_MAX];
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(TEMPLATE_MAX);
    REEVE_BUF_AUTO filled = REEVE_BUF_INIT(FILLED_MAX);
    enum reeve_err err = read_template(up, template, &text, why);
    if (err != REEVE_OK) {
        return err;
    }
    fill(reeve_buf_str(&text), fillings, &filled);
    if (strcmp(below, "broker/acl") == 0) {
        REEVE_BUF_AUTO acl = REEVE_BUF_INIT(FILLED_MAX);
        reeve_buf_puts(&acl, reeve_buf_str(&filled));
        put_key_users(up, reeve_buf_str(&acl), &filled);
    }
    if (filled.err != REEVE_OK) {
        return reeve_fail(why, filled.err, "%s can't be filled in", template);
    }
    return reeve_file_write_atomic(up_path(up, below, path), filled.data, filled.len, 0600, why);
}

static enum reeve_err put_user(const struct up *up, const char *user, struct reeve_buf *out, struct reeve_why *why)
{
    REEVE_BUF_AUTO password = REEVE_BUF_INIT(4096);
    enum reeve_err err = up_read_password(up, user, &password, why);
    if (err == REEVE_OK) {
        reeve_buf_printf(out, "%s:%s\n", user, reeve_buf_str(&password));
    }
    if (password.data != NULL) {
        explicit_bzero(password.data, password.cap);
    }
    return err;
}

static enum reeve_err list_users(const struct up *up, struct reeve_buf *out, struct reeve_why *why)
{
    enum reeve_err err = put_user(up, up->node, out, why);
    for (size_t i = 0; err == REEVE_OK && up_roles[i] != NULL; i++) {
        err = put_user(up, up_roles[i], out, why);
    }
    for (size_t i = 0; err == REEVE_OK && i < up->keys.len; i++) {
        char user[REEVE_NAME_SIZE];
        site_key_user(up->keys.items[i], user);
        reeve_buf_printf(out, "%s:%s\n", user, up->keys.items[i]);
    }
    return err == REEVE_OK && out->err != REEVE_OK ? reeve_fail(why, out->err, "out of memory") : err;
}

// mosquitto_passwd hashes in place: beside the file in use, then over it.
static enum reeve_err write_passwords(const struct up *up, struct reeve_why *why)
{
    char fresh[PATH_MAX];
    char path[PATH_MAX];
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(1 << 20);
    (void)up_path(up, "broker/passwords.new", fresh);
    enum reeve_err err = list_users(up, &text, why);
    if (err == REEVE_OK) {
        err = reeve_file_write_atomic(fresh, text.data, text.len, 0600, why);
    }
    if (text.data != NULL) {
        explicit_bzero(text.data, text.cap);
    }
    if (err != REEVE_OK) {
        return err;
    }
    const char *const argv[] = {"mosquitto_passwd", "-U", fresh, NULL};
    if (up_run(argv, true) != 0) {
        (void)unlink(fresh); /* it holds the passwords in the clear */
        return reeve_fail(why, REEVE_IO, "mosquitto_passwd did not hash the passwords");
    }
    if (chmod(fresh, 0600) != 0 || rename(fresh, up_path(up, "broker/passwords", path)) != 0) {
        return reeve_fail_errno(why, "%s", fresh);
    }
    return REEVE_OK;
}

enum reeve_err up_write_broker(const struct up *up, struct reeve_why *why)
{
    char port[16];
    char dir[PATH_MAX];
    const struct passwd *user = getpwuid(geteuid());
    (void)snprintf(port, sizeof port, "%d", (int)up->port);
    const struct filling fillings[] = {{"PORT", port},
                                       {"DIR", up_path(up, "broker", dir)},
                                       {"USER", user != NULL ? user->pw_name : "mosquitto"},
                                       {"ROOT", up->root},
                                       {"NODE", up->node},
                                       {NULL, NULL}};
    enum reeve_err err = write_filled(up, "mosquitto.conf.in", "broker/mosquitto.conf", fillings, why);
    if (err == REEVE_OK) {
        err = write_filled(up, "acl.in", "broker/acl", fillings, why);
    }
    return err == REEVE_OK ? write_passwords(up, why) : err;
}

// ---- site.json ----------------------------------------------------------------------------------------------------

static enum reeve_err put_login(const struct up *up, const char *user, struct reeve_value *users, struct reeve_why *why)
{
    REEVE_BUF_AUTO password = REEVE_BUF_INIT(4096);
    struct reeve_value *login = reeve_value_map();
    enum reeve_err err = up_read_password(up, user, &password, why);
    reeve_put_str(login, "username", user);
    reeve_put_str(login, "password", reeve_buf_str(&password));
    (void)reeve_value_put(users, user, login); /* remembered: reeve_value_built() */
    return err;
}

enum reeve_err up_write_site(const struct up *up, struct reeve_why *why)
{
    static const char *const clients[] = {"admin", "operator", "viewer", "producer"};
    char path[PATH_MAX];
    REEVE_VALUE_AUTO site = reeve_value_map();
    struct reeve_value *broker = reeve_value_map();
    struct reeve_value *users = reeve_value_map();
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(64u << 10);
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < REEVE_ARRAY_LEN(clients); i++) {
        err = put_login(up, clients[i], users, why);
    }
    reeve_put_str(broker, "host", "127.0.0.1");
    reeve_put_int(broker, "port", up->port);
    (void)reeve_value_put(site, "broker", broker); /* remembered: reeve_value_built() */
    reeve_put_str(site, "root", up->root);
    reeve_put_str(site, "node", up->node);
    (void)reeve_value_put(site, "users", users); /* remembered: reeve_value_built() */
    if (err != REEVE_OK) {
        return err;
    }
    if (reeve_value_built(site) != REEVE_OK || reeve_json_write(site, REEVE_JSON_PRETTY, &text) != REEVE_OK) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    reeve_buf_puts(&text, "\n");
    return reeve_file_write_atomic(up_path(up, "site.json", path), text.data, text.len, 0600, why);
}

void up_remove_site(const struct up *up)
{
    char path[PATH_MAX];
    (void)unlink(up_path(up, "site.json", path)); /* absent is what is wanted */
}

// ---- programs -----------------------------------------------------------------------------------------------------

static bool in_path(const char *name)
{
    const char *path = getenv("PATH");
    const char *at = path != NULL ? path : "/usr/bin:/bin";
    while (*at != '\0') {
        char full[PATH_MAX];
        size_t len = strcspn(at, ":");
        (void)snprintf(full, sizeof full, "%.*s/%s", (int)len, at, name);
        if (access(full, X_OK) == 0) {
            return true;
        }
        at += len + (at[len] == ':' ? 1 : 0);
    }
    return false;
}

static bool is_beside(const struct up *up, const char *name, char path[PATH_MAX])
{
    (void)snprintf(path, PATH_MAX, "%s/%s", up->bin_dir, name);
    return access(path, X_OK) == 0;
}

enum reeve_err up_check_programs(struct up *up, struct reeve_why *why)
{
    static const char *const own[] = {"reeved", "reeve-shim", "reeve-worker-broker"};
    char path[PATH_MAX];
    for (size_t i = 0; i < REEVE_ARRAY_LEN(own); i++) {
        if (!is_beside(up, own[i], path)) {
            return reeve_fail(why, REEVE_NOENT, "%s is not there; it belongs beside this program", path);
        }
    }
    if (!up->no_manager && !is_beside(up, "reeve-manager", path)) {
        output_note("%s is not there: the site will have no manager, no pools and no accounts", path);
        up->no_manager = true;
    }
    if (access("/usr/sbin/mosquitto", X_OK) != 0 || !in_path("mosquitto_passwd")) {
        return reeve_fail(why, REEVE_NOENT,
                          "the MQTT broker Mosquitto is not installed; on Debian: apt install mosquitto");
    }
    return REEVE_OK;
}
