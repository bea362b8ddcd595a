/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <sys/ioctl.h>
#include <unistd.h>
#include "report/report.h"

void report_document(struct buf *out, const struct doc *d, const struct report_form *form)
{
	if (form->format == REPORT_TERMINAL)
		doc_terminal(d, form->width, out);
	else if (form->format == REPORT_MARKDOWN)
		doc_markdown(d, out);
	else
		doc_html(d, out);
}

int report_width(int fd)
{
	struct winsize size;

	if (!isatty(fd))
		return 0;
	return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}
