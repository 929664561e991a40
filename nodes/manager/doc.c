// The reference pages that are made from tables: the manager's part of docs/configuration.md, its ops in
// docs/protocol.md, the man page. Tests compare the pages in docs/ with what this prints. Must not: hold facts of its
// own.
#include "doc.h"

#include "manager.h"

#include <reeve/account.h>

#include <stdio.h>
#include <string.h>

static const char configuration_head[] = "# Configuration of a manager\n"
                                         "\n"
                                         "Made from the record tables by `reeve-manager --doc configuration`; a test "
                                         "compares. `reeve-manager --check --config FILE` says\n"
                                         "everything that is wrong with a file, each with its place, and starts "
                                         "nothing. Started by a node daemon, the manager takes the\n"
                                         "same keys from the `config` of its worker spec, and what they do not say "
                                         "about broker and topic root from the daemon.\n"
                                         "\n"
                                         "```yaml\n"
                                         "manager:\n"
                                         "  root: reeve/v1/local\n"
                                         "  pools_dir: /etc/reeve/pools\n"
                                         "  accounts_dir: /etc/reeve/accounts\n"
                                         "  health: {on_unhealthy: restart, unhealthy_for: 1m}\n"
                                         "broker:\n"
                                         "  url: mqtt://127.0.0.1:1883\n"
                                         "  username: manager\n"
                                         "  password_file: /etc/reeve/manager.password\n"
                                         "```\n"
                                         "\n";

static enum reeve_err print_configuration(struct reeve_buf *buf)
{
    reeve_buf_puts(buf, configuration_head);
    return reeve_record_markdown(&manager_config_record, 2, buf);
}

// ---- ops --------------------------------------------------------------------------------------------------------

#define FIELDS_MAX 64 // as in shared/wire/record.c

struct selection { // any struct will do: only the fields' names and texts are read
    struct select_args select;
};
static const struct reeve_field select_fields[] = {SELECT_FIELDS(struct selection, select)};
static const struct reeve_record select_record = REEVE_RECORD("SEL", struct selection, select_fields, NULL);

static bool selects(const struct reeve_field *field)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(select_fields); i++) {
        if (strcmp(select_fields[i].name, field->name) == 0 && strcmp(select_fields[i].doc, field->doc) == 0) {
            return true;
        }
    }
    return false;
}

// The op's own arguments; *ret_selects when it also takes a selector.
static size_t own_fields(const struct reeve_record *record, struct reeve_field ret[FIELDS_MAX], bool *ret_selects)
{
    size_t len = 0;
    *ret_selects = false;
    REEVE_ASSERT(record->fields_len <= FIELDS_MAX);
    for (size_t i = 0; i < record->fields_len; i++) {
        if (selects(&record->fields[i])) {
            *ret_selects = true;
        } else {
            ret[len++] = record->fields[i];
        }
    }
    return len;
}

static const char *level_text(unsigned level)
{
    return level & OP_OF_POOL      ? "pool"
           : level & OP_OF_ACCOUNT ? "account"
           : level & OP_OF_QUEUE   ? "queue"
                                   : "manager";
}

static void print_arguments(const struct op *op, struct reeve_buf *buf)
{
    struct reeve_field fields[FIELDS_MAX];
    bool select = false;
    size_t len = op->args != NULL ? own_fields(op->args, fields, &select) : 0;
    reeve_buf_puts(buf, select ? "SEL" : "");
    for (size_t i = 0; i < len; i++) {
        if (fields[i].alias_of == NULL) {
            reeve_buf_printf(buf, "%s`%s`%s", i > 0 || select ? " " : "", fields[i].name,
                             fields[i].flags & REEVE_FIELD_REQUIRED ? "!" : "");
        }
    }
    reeve_buf_puts(buf, op->args_open ? "a spec" : "");
}

static void print_op_row(const struct op *op, struct reeve_buf *buf)
{
    reeve_buf_printf(buf, "| `%s` | %s | ", op->name, level_text(op->level));
    print_arguments(op, buf);
    reeve_buf_puts(buf, " | ");
    if (op->main_arg != NULL) {
        reeve_buf_printf(buf, "`%s`", op->main_arg);
    }
    reeve_buf_printf(buf, " | %s |\n", op->doc);
}

// The rows of a record's table, each with the op in front: one table for all ops. Records inside stand under their headings; their
// keys get the record's name in front.
static void put_rows(const struct op *op, const char *markdown, struct reeve_buf *buf)
{
    char inside[80] = "";
    for (const char *end; *markdown != '\0'; markdown = *end != '\0' ? end + 1 : end) {
        end = markdown + strcspn(markdown, "\n");
        if (markdown[0] == '#') {
            const char *name = markdown + strspn(markdown, "# `");
            (void)snprintf(inside, sizeof inside, "%.*s.", (int)strcspn(name, " `\n"), name); /* names of records are short */
            inside[strcmp(inside, "op.") == 0 ? 0 : strlen(inside)] = '\0';
        } else if (reeve_str_starts(markdown, "| `")) {
            reeve_buf_printf(buf, "| %s `%s` | `%s", level_text(op->level), op->name, inside);
            reeve_buf_append(buf, markdown + 3, (size_t)(end - markdown) - 2);
        }
    }
}

static enum reeve_err print_op_arguments(const struct op *op, struct reeve_buf *buf)
{
    struct reeve_field fields[FIELDS_MAX];
    bool select;
    REEVE_BUF_AUTO markdown = REEVE_BUF_INIT(0);
    size_t len = op->args != NULL ? own_fields(op->args, fields, &select) : 0;
    if (len == 0) {
        return REEVE_OK;
    }
    const struct reeve_record own = {.name = "op", .size = op->args->size, .fields = fields, .fields_len = len};
    enum reeve_err err = reeve_record_markdown(&own, 5, &markdown);
    if (err == REEVE_OK) {
        put_rows(op, reeve_buf_str(&markdown), buf);
    }
    return err;
}

static enum reeve_err print_ops(struct reeve_buf *buf)
{
    const struct op *op;
    reeve_buf_puts(buf, "| op | topic | arguments | plain text means | |\n|---|---|---|---|---|\n");
    for (size_t i = 0; (op = op_at(i)) != NULL; i++) {
        print_op_row(op, buf);
    }
    reeve_buf_puts(buf,
                   "\n`!` = required. `SEL`, who is meant:\n\n| argument | value | default | |\n|---|---|---|---|\n");
    REEVE_BUF_AUTO markdown = REEVE_BUF_INIT(0);
    enum reeve_err err = reeve_record_markdown(&select_record, 5, &markdown);
    const char *rows = strstr(reeve_buf_str(&markdown), "| `");
    reeve_buf_puts(buf, rows != NULL ? rows : "");
    reeve_buf_puts(buf, "The other arguments:\n\n| op | argument | value | default | |\n|---|---|---|---|---|\n");
    for (size_t i = 0; err == REEVE_OK && (op = op_at(i)) != NULL; i++) {
        err = print_op_arguments(op, buf);
    }
    return err;
}

// ---- man page ---------------------------------------------------------------------------------------------------

static const char man_head[] = ".TH REEVE\\-MANAGER 8 \"\" \"reeve " REEVE_VERSION "\" \"Reeve\"\n"
                               ".SH NAME\nreeve\\-manager \\- the manager of a Reeve fleet\n"
                               ".SH SYNOPSIS\n\\fBreeve\\-manager\\fR [\\fB\\-\\-config\\fR \\fIFILE\\fR] [options]\n"
                               ".SH DESCRIPTION\n"
                               "Keeps one verdict for every worker of a site, pools at their size, accounts running, "
                               "and stops everything at once when asked. It\n"
                               "takes commands over MQTT. Nodes and workers go on without it; what it decided is in "
                               "its store, and the next one goes on from there.\n"
                               ".PP\n.nf\n";

static const char man_files[] =
    ".fi\n"
    ".SH FILES\n"
    ".TP\n.I /etc/reeve/manager.yaml\nconfiguration; every key is in configuration.md, or print it with "
    "\\fBreeve\\-manager \\-\\-doc configuration\\fR\n"
    ".TP\n.I /var/lib/reeve/manager\\-NAME\nstate_dir: " STORE_FILE ", " STORE_BACKUP_DIR "/, lock\n"
    ".SH COMMANDS\nOn \\fImanager/NAME/cmd/OP\\fR, \\fIpool/POOL/cmd/OP\\fR and \\fIaccount/ACCOUNT/cmd/OP\\fR:\n";

// A line of roff: a leading dot or quote would be a request, a backslash an escape.
static void roff(struct reeve_buf *buf, const char *text)
{
    bool line_start = true;
    for (; *text != '\0'; text++) {
        if (line_start && (*text == '.' || *text == '\'')) {
            reeve_buf_puts(buf, "\\&");
        }
        if (*text == '\\') {
            reeve_buf_puts(buf, "\\e");
        } else if (*text == '-') {
            reeve_buf_puts(buf, "\\-");
        } else if (*text != '`') { // of Markdown
            reeve_buf_append(buf, text, 1);
        }
        line_start = *text == '\n';
    }
}

static enum reeve_err print_man(struct reeve_buf *buf)
{
    reeve_buf_puts(buf, man_head);
    roff(buf, doc_usage);
    reeve_buf_puts(buf, man_files);
    const struct op *op;
    for (size_t i = 0; (op = op_at(i)) != NULL; i++) {
        reeve_buf_printf(buf, ".TP\n\\fB%s\\fR (%s)\n", op->name, level_text(op->level));
        roff(buf, op->doc);
        reeve_buf_puts(buf, "\n");
    }
    reeve_buf_puts(buf, ".SH SEE ALSO\n.BR reeve (1),\n.BR reeved (8)\n");
    return buf->err;
}

enum reeve_err doc_print(const char *page, struct reeve_buf *buf, struct reeve_why *why)
{
    const struct {
        const char *page;
        enum reeve_err (*print)(struct reeve_buf *buf);
    } pages[] = {{"configuration", print_configuration},
                 {"ops", print_ops},
                 {"accounts", reeve_account_markdown},
                 {"man", print_man}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(pages); i++) {
        if (strcmp(pages[i].page, page) == 0) {
            return pages[i].print(buf);
        }
    }
    return reeve_fail(why, REEVE_NOENT, "no page '%s': configuration, ops, accounts or man", page);
}
