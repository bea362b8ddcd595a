/* csv.h -- reading and writing the rows of a CSV file (RFC 4180). */
#ifndef CSV_H
#define CSV_H

#include <stdio.h>

struct csv_row {
	char **field; /* NUL-terminated, without the quotes */
	size_t n;     /* fields in use */
	size_t cap;
};

/* Read the next row. 1: there was one, 0: end of file, -1: out of memory or a read error. */
int csv_read(FILE *in, char delimiter, struct csv_row *row);

/* Write one field, quoted where it has to be. */
void csv_write_field(FILE *out, char delimiter, const char *field);

void csv_free(struct csv_row *row);

#endif
