/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "node/streams.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "os/fdio.h"

enum { CHUNK = 32 << 10, FDS = 4 };

struct stream *streams_add(struct streams *s, uint32_t id, int fd, bool is_worker)
{
	GROW(s->v, s->n, s->cap);
	s->v[s->n] = (struct stream){
		.id = id, .fd = fd, .is_worker = is_worker, .waiting = BUF_INIT, .files = {-1, -1}};
	if (fd >= 0)
		fd_set_nonblock(fd, true);
	return &s->v[s->n++];
}

struct stream *streams_find(struct streams *s, uint32_t id)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].id == id)
			return &s->v[i];
	return NULL;
}

size_t streams_watch(const struct streams *s, struct pollfd *fds)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct stream *t = &s->v[i];
		bool reads =
			!t->ended && t->on_its_way < STREAM_WINDOW && !frames_are_many(s->frames);
		/* Without a line nobody is heard. */
		fds[i] = (struct pollfd){
			.fd = s->frames->out < 0 ? -1 : t->fd,
			.events = (short)((reads ? POLLIN : 0) | (t->waiting.len ? POLLOUT : 0))};
	}
	return s->n;
}

static void end(struct streams *s, struct stream *t)
{
	if (!t->ended)
		frames_send(s->frames, FRAME_END, t->id, NULL, 0);
	t->ended = true;
}

/* Whoever is broken on one way is of no use on the other. */
static void abandon(struct streams *s, struct stream *t)
{
	end(s, t);
	t->heard_end = true;
	buf_reset(&t->waiting);
}

/* A worker hands over the files that its calls are logged in. */
static void keep_files(struct stream *t, int fds[FDS], size_t n, bool has_open)
{
	size_t record = has_open ? 2 : 1;

	if (n && t->files[0] < 0)
		t->files[0] = fd_steal(&fds[0]);
	if (n > record && t->files[1] < 0)
		t->files[1] = fd_steal(&fds[record]);
	for (size_t i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static void read_message(struct streams *s, struct stream *t)
{
	char message[STREAM_MESSAGE_MAX + 1];
	int fds[FDS] = {-1, -1, -1, -1};
	size_t fds_n = FDS;
	struct err err;
	ssize_t n = fd_recv(t->fd, message, STREAM_MESSAGE_MAX, fds, &fds_n, 1, &err);

	if (n < 0 && err.kind == ERR_LIMIT)
		return;
	if (n > 0) {
		message[n] = '\0';
		keep_files(t, fds, fds_n, strstr(message, "\"open\":true"));
		if (s->before)
			s->before(s->arg, t);
		if (s->sent)
			s->sent(t, message, (size_t)n);
		frames_send(s->frames, FRAME_DATA, t->id, message, (size_t)n);
		t->on_its_way += (size_t)n;
	} else if (s->lost) {
		*s->lost = t->ended = true;
	} else {
		end(s, t);
	}
}

static void read_bytes(struct streams *s, struct stream *t)
{
	char block[CHUNK];
	ssize_t n = read(t->fd, block, sizeof block);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		abandon(s, t);
	} else if (n == 0) {
		end(s, t);
	} else {
		frames_send(s->frames, FRAME_DATA, t->id, block, (size_t)n);
		t->on_its_way += (size_t)n;
	}
}

static void give_credit(struct streams *s, const struct stream *t, size_t n)
{
	unsigned char number[4] = {(unsigned char)(n >> 24), (unsigned char)(n >> 16),
				   (unsigned char)(n >> 8), (unsigned char)n};

	frames_send(s->frames, FRAME_CREDIT, t->id, number, sizeof number);
}

static void write_some(struct streams *s, struct stream *t)
{
	size_t done = 0;

	while (done < t->waiting.len) {
		ssize_t n = send(t->fd, t->waiting.data + done, t->waiting.len - done,
				 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n < 0) {
			abandon(s, t);
			return;
		}
		done += (size_t)n;
	}
	if (done) {
		memmove(t->waiting.data, t->waiting.data + done, t->waiting.len - done + 1);
		t->waiting.len -= done;
		give_credit(s, t, done);
	}
	if (t->heard_end && !t->waiting.len && !t->is_worker)
		shutdown(t->fd, SHUT_WR);
}

void streams_turn(struct streams *s, const struct pollfd *fds, size_t n)
{
	/* Frames that were heard since may have added some behind these. */
	for (size_t i = 0; i < n && i < s->n; i++) {
		struct stream *t = &s->v[i];
		if (fds[i].fd != t->fd || t->fd < 0)
			continue;
		if ((fds[i].revents & POLLOUT) && t->waiting.len)
			write_some(s, t);
		if ((fds[i].revents & (POLLIN | POLLHUP | POLLERR)) && !t->ended) {
			if (t->is_worker)
				read_message(s, t);
			else
				read_bytes(s, t);
		}
	}
}

static void take_data(struct streams *s, struct stream *t, const struct frame *f)
{
	if (t->fd < 0 || t->heard_end)
		return;
	if (!t->is_worker) {
		buf_add(&t->waiting, f->data, f->len);
		write_some(s, t);
		return;
	}
	AUTO(buf) struct buf text = BUF_INIT;
	buf_add(&text, f->data, f->len);
	/* Few and small: a socket that is full of them has nobody behind it. */
	if ((!s->came || s->came(t, &text)) &&
	    send(t->fd, text.data, text.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
		abandon(s, t);
	else
		give_credit(s, t, f->len);
}

void streams_hear(struct streams *s, const struct frame *f)
{
	struct stream *t = streams_find(s, f->id);

	if (!t)
		return;
	if (f->type == FRAME_DATA) {
		take_data(s, t, f);
	} else if (f->type == FRAME_CREDIT && f->len == 4) {
		const unsigned char *at = (const unsigned char *)f->data;
		size_t n = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
		t->on_its_way -= n < t->on_its_way ? n : t->on_its_way;
	} else if (f->type == FRAME_END) {
		t->heard_end = true;
		if (t->is_worker || t->fd < 0)
			end(s, t);
		else if (!t->waiting.len)
			shutdown(t->fd, SHUT_WR);
	}
}

static void release(const struct streams *s, struct stream *t)
{
	if (s->forget)
		s->forget(t->account);
	if (t->fd >= 0)
		close(t->fd);
	for (int i = 0; i < 2; i++)
		if (t->files[i] >= 0)
			close(t->files[i]);
	buf_release(&t->waiting);
}

void streams_sweep(struct streams *s)
{
	for (size_t i = 0; i < s->n;) {
		struct stream *t = &s->v[i];
		/* A worker's connection is one: what ends on one side ends. */
		bool over = t->is_worker ? t->ended || t->heard_end
					 : t->ended && t->heard_end && !t->waiting.len;
		if (!over) {
			i++;
			continue;
		}
		end(s, t);
		release(s, t);
		*t = s->v[--s->n];
	}
}

void streams_close(struct streams *s, bool (*stays)(struct stream *s))
{
	for (size_t i = 0; i < s->n;) {
		if (stays && s->v[i].is_worker && stays(&s->v[i])) {
			i++;
			continue;
		}
		release(s, &s->v[i]);
		s->v[i] = s->v[--s->n];
	}
	if (s->n)
		return;
	free(s->v);
	s->v = NULL;
	s->cap = 0;
}
