// The reference page of a record, in markdown: one table per record, those inside it behind it.
// Must not: say anything that the tables do not.
#include "record_fields.h"

#include <string.h>

#define HEADING_LEVEL_MAX 6

// Text inside a table cell: a '|' would end the cell, a newline the table.
static void put_cell(struct reeve_buf *buf, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '|':
            reeve_buf_puts(buf, "\\|");
            break;
        case '\n':
            reeve_buf_puts(buf, " ");
            break;
        default:
            reeve_buf_append(buf, text, 1);
        }
    }
}

static void put_aliases(struct reeve_buf *buf, const struct reeve_record *record, const struct reeve_field *field)
{
    for (size_t i = 0; i < record->fields_len; i++) {
        const struct reeve_field *other = &record->fields[i];
        if (other->alias_of != NULL && strcmp(other->alias_of, field->name) == 0) {
            reeve_buf_printf(buf, " or `%s`", other->name);
        }
    }
}

static void put_preset(struct reeve_buf *buf, const struct reeve_field *field)
{
    if (field->flags & REEVE_FIELD_REQUIRED) {
        reeve_buf_puts(buf, "required");
    } else if (field->preset != NULL) {
        reeve_buf_puts(buf, "`");
        put_cell(buf, field->preset);
        reeve_buf_puts(buf, "`");
    }
}

static void put_type(struct reeve_buf *buf, const struct reeve_field *field)
{
    char expected[REEVE_EXPECT_SIZE];
    if (field->type == REEVE_FIELD_RECORD || field->type == REEVE_FIELD_RECORDS) {
        reeve_buf_printf(buf, "%s, see %s below", field->type == REEVE_FIELD_RECORD ? "map" : "list of maps",
                         field->record->name);
        if (field->scalar_member != NULL) {
            reeve_buf_printf(buf, "; a single value is its `%s`", field->scalar_member);
        }
        return;
    }
    put_cell(buf, reeve_field_expect(field, expected));
}

static void put_row(struct reeve_buf *buf, const struct reeve_record *record, const struct reeve_field *field)
{
    reeve_buf_printf(buf, "| `%s`", field->name);
    put_aliases(buf, record, field);
    reeve_buf_puts(buf, " | ");
    put_type(buf, field);
    reeve_buf_puts(buf, " | ");
    put_preset(buf, field);
    reeve_buf_puts(buf, " | ");
    put_cell(buf, field->doc != NULL ? field->doc : "");
    reeve_buf_puts(buf, field->flags & REEVE_FIELD_SECRET ? " Secret: shown as `***`." : "");
    reeve_buf_puts(buf, field->flags & REEVE_FIELD_INERT ? " Accepted, not acted upon yet." : "");
    reeve_buf_puts(buf, " |\n");
}

static void put_record(struct reeve_buf *buf, const struct reeve_record *record, unsigned level)
{
    reeve_buf_printf(buf, "%.*s %s\n\n", (int)level, "######", record->name);
    if (record->doc != NULL) {
        reeve_buf_printf(buf, "%s\n\n", record->doc);
    }
    reeve_buf_puts(buf, "| key | value | default | |\n|---|---|---|---|\n");
    for (size_t i = 0; i < record->fields_len; i++) {
        if (record->fields[i].alias_of == NULL) {
            put_row(buf, record, &record->fields[i]);
        }
    }
    reeve_buf_puts(buf, "\n");
    for (size_t i = 0; i < record->fields_len; i++) {
        if (record->fields[i].record != NULL) {
            put_record(buf, record->fields[i].record, level < HEADING_LEVEL_MAX ? level + 1 : level);
        }
    }
}

enum reeve_err reeve_record_markdown(const struct reeve_record *record, unsigned heading_level, struct reeve_buf *buf)
{
    REEVE_ASSERT(heading_level >= 1 && heading_level <= HEADING_LEVEL_MAX);
    put_record(buf, record, heading_level);
    return buf->err;
}
