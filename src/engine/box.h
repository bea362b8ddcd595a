/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * box.h -- `rollouts-docker box`: the process beside a worker that holds its right to the container engine, which
 * is as good as root. It is started before the worker gives up its own rights, is told at once which container is
 * meant (container.h), and afterwards does nothing but start that one, once, and remove it when the worker ends.
 *
 * Standard input is a SOCK_SEQPACKET socket; messages are JSON:
 *   worker -> box   the description; then [INDEX...]: start it, and show the detached mounts that come along at
 *                   the paths of the description's `overlays` with these indices; then, as often as it likes, {network}: of one
 *                   that was described with a network, take that away (false) or give it back; then the end of the socket: remove the
 *                   container, exit
 *   box -> worker   {} or {error, retry}: it was done, or why not; to each but the first and the last
 */
#pragma once

#define BOX_MESSAGE_MAX (128 << 10)
#define BOX_OVERLAYS_MAX 16

/* Serve SOCKET until its end. Returns the exit status. */
int box_serve(int socket);
