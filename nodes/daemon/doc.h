// Reference pages from the tables: `reeved --doc PAGE`.
#ifndef REEVED_DOC_H
#define REEVED_DOC_H

#include "daemon.h"

extern const char doc_usage[]; // of main.c: what --help prints

// `page`: "configuration" and "ops" as Markdown, "man" as roff. NOENT names the pages there are.
enum reeve_err doc_print(const char *page, struct reeve_buf *buf, struct reeve_why *why);

#endif
