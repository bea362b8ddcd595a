/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One process for each connection, one request on each.
 */
#include "agentkit/stub.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"

enum { REQUEST_MAX = 16 << 20, IDLE_SEC = 30 };

/* 100 tokens in and 10 out, whatever the words for it; the last event of a stream has them as well. */
#define MESSAGE                                                                                    \
	"{\"type\":\"message\",\"id\":\"msg_1\",\"status\":\"completed\",\"role\":\"assistant\","  \
	"\"content\":["                                                                            \
	"{\"type\":\"output_text\",\"text\":\"" STUB_WORDS "\",\"annotations\":[]}]}"
#define BEGUN                                                                                      \
	"{\"id\":\"resp_1\",\"object\":\"response\",\"created_at\":1,\"model\":\"stub\","          \
	"\"status\":\"in_progress\",\"output\":[]}"
#define RESPONSE                                                                                   \
	"{\"id\":\"resp_1\",\"object\":\"response\",\"created_at\":1,\"model\":\"stub\","          \
	"\"status\":\"completed\",\"output\":[" MESSAGE                                            \
	"],\"usage\":{\"input_tokens\":100,\"input_tokens_details\":{\"cached_tokens\":0},"        \
	"\"output_tokens\":10,"                                                                    \
	"\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":110}}"
#define PART "{\"type\":\"output_text\",\"text\":\"\",\"annotations\":[]}"
#define CHAT_USAGE "{\"prompt_tokens\":100,\"completion_tokens\":10,\"total_tokens\":110}"
#define CHUNK                                                                                      \
	"{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"stub\","    \
	"\"choices\":"
#define GEMINI                                                                                     \
	"{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"" STUB_WORDS     \
	"\"}]},\"finishReason\":\"STOP\","                                                         \
	"\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":100,\"candidatesTokenCount\":10,"   \
	"\"totalTokenCount\":110},"                                                                \
	"\"modelVersion\":\"stub\"}"
#define EVENT(name, rest) "event: " name "\ndata: {\"type\":\"" name "\"" rest "}\n\n"
#define ITEM ",\"output_index\":0,\"item_id\":\"msg_1\",\"content_index\":0"

static const struct words {
	const char *path; /* what the target holds */
	const char *whole, *stream;
} dialects[] = {
	{"/v1/responses", RESPONSE,
	 EVENT("response.created", ",\"response\":" BEGUN) EVENT(
		 "response.output_item.added",
		 ",\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"msg_1\","
		 "\"status\":\"in_progress\",\"role\":\"assistant\",\"content\":[]}")
		 EVENT("response.content_part.added", ITEM ",\"part\":" PART) EVENT(
			 "response.output_text.delta", ITEM ",\"delta\":\"" STUB_WORDS "\"")
			 EVENT("response.output_text.done", ITEM ",\"text\":\"" STUB_WORDS "\"")
				 EVENT("response.output_item.done",
				       ",\"output_index\":0,\"item\":" MESSAGE)
					 EVENT("response.completed", ",\"response\":" RESPONSE)},
	{"/v1/chat/completions",
	 "{\"id\":\"c1\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"stub\","
	 "\"choices\":[{\"index\":0,\"message\":"
	 "{\"role\":\"assistant\",\"content\":\"" STUB_WORDS
	 "\"},\"finish_reason\":\"stop\"}],\"usage\":" CHAT_USAGE "}",
	 "data: " CHUNK "[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"" STUB_WORDS
	 "\"},\"finish_reason\":null}]}\n\n"
	 "data: " CHUNK "[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
	 "data: " CHUNK "[],\"usage\":" CHAT_USAGE "}\n\ndata: [DONE]\n\n"},
	{"/v1/messages",
	 "{\"id\":\"m1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"stub\","
	 "\"content\":[{\"type\":\"text\",\"text\":\"" STUB_WORDS
	 "\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":100,"
	 "\"output_tokens\":10}}",
	 EVENT("message_start",
	       ",\"message\":{\"id\":\"m1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":"
	       "\"stub\","
	       "\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_"
	       "tokens\":100,"
	       "\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":"
	       "1}}") EVENT("content_block_start",
			    ",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}")
		 EVENT("content_block_delta",
		       ",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"" STUB_WORDS
		       "\"}") EVENT("content_block_stop", ",\"index\":0")
			 EVENT("message_delta", ",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_"
						"sequence\":null},\"usage\":{"
						"\"output_tokens\":10}") EVENT("message_stop", "")},
	{":streamGenerateContent", GEMINI, "data: " GEMINI "\r\n\r\n"},
	{":generateContent", GEMINI, "data: " GEMINI "\r\n\r\n"},
};

static bool receive(int fd, struct buf *in)
{
	buf_grow(in, 65536);
	ssize_t n = recv(fd, in->data + in->len, 65536, 0);
	if (n <= 0 || in->len > REQUEST_MAX)
		return false;
	in->len += (size_t)n;
	in->data[in->len] = '\0';
	return true;
}

/* The request with its body. False: the client left. */
static bool receive_request(int fd, struct buf *in)
{
	const char *end, *length;
	size_t body = 0;

	while (!(end = strstr(in->data, "\r\n\r\n")))
		if (!receive(fd, in))
			return false;
	size_t head = (size_t)(end + 4 - in->data);
	length = strcasestr(in->data, "\r\nContent-Length:");
	if (length && length < end)
		body = strtoul(length + strlen("\r\nContent-Length:"), NULL, 10);
	while (in->len < head + body)
		if (!receive(fd, in))
			return false;
	return true;
}

static const struct words *find(const char *request, size_t line)
{
	for (size_t i = 0; i < ARRAY_SIZE(dialects); i++) {
		const char *at = strstr(request, dialects[i].path);
		if (at && (size_t)(at - request) < line)
			return &dialects[i];
	}
	return NULL;
}

static void answer(int fd, const struct buf *in, atomic_uint *calls)
{
	AUTO(buf) struct buf out = BUF_INIT;
	size_t line = strcspn(in->data, "\r\n");
	const struct words *w = strncmp(in->data, "POST ", 5) == 0 ? find(in->data, line) : NULL;
	bool stream = strstr(in->data, "\"stream\":true") || strstr(in->data, "\"stream\": true") ||
		      (w && strstr(w->path, "stream"));
	const char *text = !w	    ? "{\"error\":{\"message\":\"not here\"}}"
			   : stream ? w->stream
				    : w->whole;

	if (w)
		atomic_fetch_add(calls, 1);
	buf_addf(&out,
		 "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: "
		 "close\r\n\r\n%s",
		 w ? "200 OK" : "404 Not Found",
		 w && stream ? "text/event-stream" : "application/json", strlen(text), text);
	for (size_t done = 0; done < out.len;) {
		ssize_t n = send(fd, out.data + done, out.len - done, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		done += (size_t)n;
	}
	shutdown(fd, SHUT_WR);
	while (recv(fd, out.data, out.len, 0) > 0)
		;
}

static void serve_one(int fd, atomic_uint *calls)
{
	const struct timeval idle = {.tv_sec = IDLE_SEC};
	AUTO(buf) struct buf in = BUF_INIT;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof idle);
	if (receive_request(fd, &in))
		answer(fd, &in, calls);
}

pid_t stub_start(int listener, atomic_uint *calls)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGCHLD, SIG_IGN);
	while (true) {
		int fd = accept(listener, NULL, NULL);
		if (fd < 0 && errno != EINTR && errno != ECONNABORTED)
			_exit(1);
		if (fd >= 0 && fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			serve_one(fd, calls);
			_exit(0);
		}
		if (fd >= 0)
			close(fd);
	}
}
