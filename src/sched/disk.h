/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * disk.h -- whether the disk of the data folder has room for another trial. Wherever trials run,
 * this is where their folders and the journal end up.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct disk {
	int fd; /* of the data folder; borrowed */
	bool has_room;
	bool refused; /* something could not be written, whatever is said to be free */
	int64_t free_bytes, asked_ms;
};

void disk_init(struct disk *d, int fd);
/* At least 5 % and 2 GB are free, and after a refusal a file can be written again. The disk is asked at most once a second. */
bool disk_has_room(struct disk *d);
/* Somebody could not write for want of room: a quota or the inodes may be used up. True: neither can we. */
bool disk_refused(struct disk *d);
