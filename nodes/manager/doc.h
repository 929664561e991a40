// Reference pages from the tables: `reeve-manager --doc PAGE`.
#ifndef REEVE_MANAGER_DOC_H
#define REEVE_MANAGER_DOC_H

#include <reeve/buf.h>

extern const char doc_usage[]; // of main.c: what --help prints

// `page`: "configuration", "ops" and "accounts" as Markdown, "man" as roff. NOENT names the pages there are.
enum reeve_err doc_print(const char *page, struct reeve_buf *buf, struct reeve_why *why);

#endif
