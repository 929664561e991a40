// Reference pages from the tables: `reeved --doc PAGE`.
#ifndef REEVED_DOC_H
#define REEVED_DOC_H

#include "daemon.h"

// Markdown of `page` ("configuration", "ops"). NOENT names the pages there are.
enum reeve_err doc_print(const char *page, struct reeve_buf *buf, struct reeve_why *why);

#endif
