// The reference pages that are made from tables: docs/configuration.md and the ops in docs/protocol.md.
// A test compares the pages in docs/ with what this prints. Must not: hold facts of its own.
#include "doc.h"

#include <stdio.h>
#include <string.h>

static const char configuration_head[] =
    "# Configuration\n"
    "\n"
    "Made from the record tables of the programs by `reeved --doc configuration`; a test compares. Every key of every file\n"
    "stands here. Durations are written `250ms 300s 5m 1h30m`, sizes `512M 1G 64KiB`; unknown keys are errors with a hint.\n"
    "`reeved --check --config FILE` says everything that is wrong with a file, each with its place, and starts nothing.\n"
    "\n"
    "```yaml\n"
    "node:\n"
    "  name: alpha\n"
    "  region: eu-1\n"
    "broker:\n"
    "  url: mqtt://127.0.0.1:1883\n"
    "  username: alpha\n"
    "  password_file: /etc/reeve/alpha.password\n"
    "workers:\n"
    "  - name: mm-1\n"
    "    command: [/usr/local/bin/mm, --pair, KMD/BTC]\n"
    "    memory_limit: 512M\n"
    "    restart: {policy: on-failure, initial: 1s, limit: 5, window: 10m}\n"
    "```\n"
    "\n";

static const char spec_head[] =
    "\n## Worker specs\n"
    "\n"
    "A worker spec stands in `workers:` of the node's configuration, in a file of `workers_dir`, or goes to a node with\n"
    "`reeve apply -f FILE`. A file holds `worker:` (one spec; every other top-level key becomes an entry of its `config`),\n"
    "`workers:` (a list), or a bare spec; several YAML documents are several specs.\n"
    "\n";

static enum reeve_err print_configuration(struct reeve_buf *buf)
{
    reeve_buf_puts(buf, configuration_head);
    enum reeve_err err = reeve_record_markdown(&node_config_record, 2, buf);
    if (err == REEVE_OK) {
        reeve_buf_puts(buf, spec_head);
        err = reeve_record_markdown(&reeve_spec_record, 3, buf);
    }
    return err;
}

static const char *level_text(unsigned flags)
{
    bool node = flags & OP_NODE;
    bool worker = flags & OP_WORKER;
    return node && worker ? "node, worker" : node ? "node" : "worker";
}

static enum reeve_err print_ops(struct reeve_buf *buf)
{
    reeve_buf_puts(buf, "| op | topic | arguments | plain text means | |\n|---|---|---|---|---|\n");
    const struct op *op;
    for (size_t i = 0; (op = op_at(i)) != NULL; i++) {
        reeve_buf_printf(buf, "| `%s` | %s | ", op->name, level_text(op->flags));
        for (size_t j = 0; op->args != NULL && op->args[j] != NULL; j++) {
            reeve_buf_printf(buf, "%s`%s`", j > 0 ? " " : "", op->args[j]);
        }
        reeve_buf_puts(buf, op->args == NULL ? "a spec" : "");
        reeve_buf_puts(buf, " | ");
        if (op->main_arg_node != NULL) {
            reeve_buf_printf(buf, "node: `%s`%s", op->main_arg_node, op->main_arg_worker != NULL ? ", " : "");
        }
        if (op->main_arg_worker != NULL) {
            reeve_buf_printf(buf, "worker: `%s`", op->main_arg_worker);
        }
        reeve_buf_printf(buf, " | %s |\n", op->doc);
    }
    return buf->err;
}

// ---- man page ------------------------------------------------------------------------------------------------

static const char man_head[] =
    ".TH REEVED 8 \"\" \"reeve " REEVE_VERSION "\" \"Reeve\"\n"
    ".SH NAME\nreeved \\- the node daemon of Reeve\n"
    ".SH SYNOPSIS\n\\fBreeved\\fR [\\fB\\-\\-config\\fR \\fIFILE\\fR] [options]\n"
    ".SH DESCRIPTION\n"
    "Starts, limits, watches, restarts and stops the workers of one host, and takes commands over MQTT. Each run of a worker is held by a\n"
    "\\fBreeve\\-shim\\fR that outlives the daemon: after a crash or an upgrade the next reeved takes the runs over.\n"
    ".PP\n.nf\n";

static const char man_files[] =
    ".fi\n"
    ".SH FILES\n"
    ".TP\n.I /etc/reeve/node.yaml\nconfiguration; every key is in configuration.md, or print it with \\fBreeved \\-\\-doc configuration\\fR\n"
    ".TP\n.I /var/lib/reeve/NODE\nstate_dir: reeved.db, runs/, logs/, workers/\n"
    ".SH COMMANDS\nOn \\fInode/NODE/cmd/OP\\fR and, where it says worker, on \\fIworker/NODE/WORKER/cmd/OP\\fR:\n";

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
        reeve_buf_printf(buf, ".TP\n\\fB%s\\fR (%s)\n", op->name, level_text(op->flags));
        roff(buf, op->doc);
        reeve_buf_puts(buf, "\n");
    }
    reeve_buf_puts(buf, ".SH SEE ALSO\n.BR reeve (1),\n.BR mosquitto (8)\n");
    return buf->err;
}

enum reeve_err doc_print(const char *page, struct reeve_buf *buf, struct reeve_why *why)
{
    const struct {
        const char *page;
        enum reeve_err (*print)(struct reeve_buf *buf);
    } pages[] = {{"configuration", print_configuration}, {"ops", print_ops}, {"man", print_man}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(pages); i++) {
        if (strcmp(pages[i].page, page) == 0) {
            return pages[i].print(buf);
        }
    }
    return reeve_fail(why, REEVE_NOENT, "no page '%s': configuration, ops or man", page);
}
