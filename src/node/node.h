/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * node.h -- `rollouts-node run`: the other side of a launcher that is not local. It runs trials where it is started: fetches what
 * each needs into a cache of this machine (cache.h), runs `rollouts-trial` there, hands on its event lines, and leaves one archive
 * (parcel.h) of the attempt's folder. Several trials one after the other or side by side, as one job of an engine.
 *
 * Event lines, a JSON object each, to standard output or into a file:
 *   {"node":HOST,"pid":N,"execution":K}     first of all; K counts from 0 how often this job was begun
 *   {"token":T,"line":{...}}                what the worker says (core/event.h)
 *   {"token":T,"ended":TEXT,"archive":FILE,"sha256":S,"bytes":N}
 *                                           it is gone, and how; FILE lies in the out folder, and is null when there is none
 *                                           "stopped": true where SIGTERM had come before it had finished; "committed": whether the
 *                                           work of its agent was by then
 *   {"left":REASON}                         last: "done", or why the rest was not run
 */
#pragma once
#include <jansson.h>
#include <stdint.h>
#include "base/strv.h"
#include "node/source.h"

struct node_request {
	const char *
		data; /* where cache/parcels and the attempts' folders are: the submitting machine's data folder, or a copy of those */
	const char *cache; /* a folder of this machine */
	const char *out;   /* where archives go */
	/* Where from what is missing in the data folder comes; archives are handed to a store. */
	struct source source;
	const char *
		sockets; /* a folder: the sockets of the gateway at home; NULL: there are none here */
	const char *
		keys; /* a file, instead of the one in the data folder (node-gateway.h); NULL: that one */
	const char *events; /* a file's name, to which ".K" is added; NULL: standard output */
	/* What holds this machine, as struct attempt has it; NULL: nothing. */
	const char *around;
	/* Our own sandbox does not start here, and this machine is one itself, of one trial: "agent": its agent works here and nothing else happens;
	 * "evaluate": what that came to, which its home has, is graded here. NULL: it starts. */
	const char *alone;
	int64_t cache_mb; /* 0: no limit */
	int64_t side_by_side;
	struct strv dirs; /* of attempts, below data */
};

/* Blocks until all of them have ended, or SIGTERM ends them. Returns the exit status: 0 when all were run. */
int node_run(const struct node_request *q);
