#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "csv.h"

#define MAX_COLUMNS 256

static int usage(void)
{
	fputs("usage: csvcut [-d DELIMITER] -f LIST [FILE]\n", stderr);
	return 2;
}

/* "3,1" becomes {2, 0}; the number of columns, or -1. */
static int parse_list(const char *list, size_t *column)
{
	int n = 0;

	while (n < MAX_COLUMNS) {
		char *end;
		long number = strtol(list, &end, 10);

		if (end == list || number < 1 || (*end && *end != ','))
			return -1;
		column[n++] = (size_t)number - 1;
		if (!*end)
			return n;
		list = end + 1;
	}
	return -1;
}

static int cut(FILE *in, char delimiter, const size_t *column, int columns)
{
	struct csv_row row = {0};
	int got;

	while ((got = csv_read(in, delimiter, &row)) > 0) {
		for (int i = 0; i < columns; i++) {
			if (i > 0)
				putchar(delimiter);
			csv_write_field(stdout, delimiter, column[i] < row.n ? row.field[column[i]] : "");
		}
		putchar('\n');
	}
	csv_free(&row);
	return got;
}

int main(int argc, char **argv)
{
	size_t column[MAX_COLUMNS];
	char delimiter = ',';
	int columns = 0;
	FILE *in = stdin;
	int option;

	while ((option = getopt(argc, argv, "d:f:")) != -1) {
		if (option == 'd' && strlen(optarg) == 1)
			delimiter = *optarg;
		else if (option == 'f')
			columns = parse_list(optarg, column);
		else
			return usage();
	}
	if (columns < 1 || argc - optind > 1)
		return usage();
	if (optind < argc && !(in = fopen(argv[optind], "r"))) {
		fprintf(stderr, "csvcut: %s: %s\n", argv[optind], strerror(errno));
		return 1;
	}
	if (cut(in, delimiter, column, columns) < 0) {
		fputs("csvcut: the input cannot be read\n", stderr);
		return 1;
	}
	return fflush(stdout) ? 1 : 0;
}
