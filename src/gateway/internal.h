/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * internal.h -- the parts of the gateway process and how they meet. One thread, one loop (net/loop.h). A file calls those
 * that stand below it here, and no other:
 *
 *   main.c      the document, the loop
 *   workers.c   the control socket: attempts come and go, and are told their states
 *   front.c     libmicrohttpd: an agent's connection; reads a request, hands out the answer
 *   call.c      the story of one request: admitted, queued, sent, tried again, accounted for
 *   renew.c     keys that a command prints, got anew when their time is over
 *   refusal.c   what it means that a provider refuses, fails or stays silent
 *   admit.c     whether a request may be, and which provider it goes to
 *   upstream.c  libcurl: one try of a call at its provider
 *   replay.c    a recorded call, given again
 *   answer.c    an answer on its way to the agent: metered, recorded, the key taken out; or one of our own
 *   queue.c     whose turn it is: quota (quota.h) and fairness between attempts
 *   recording.c what is kept of a call in the files of its attempt
 *   accounts.c  attached attempts: their limits, sums, states and open files
 *   events.c    what the parent process is told
 *
 * A call belongs to its connection in front.c, which frees it. Whatever changes a call calls answer_wake; the
 * loop then resumes its connection, once, before it waits again: nothing here runs inside a callback of
 * something else that could free it.
 */
#pragma once
#include <curl/curl.h>
#include <microhttpd.h>
#include "base/buf.h"
#include "gateway/key-mask.h"
#include "gatewaylink/control.h"
#include "gateway/setup.h"
#include "model/usage.h"
#include "gateway/quota.h"
#include "model/provider-error.h"
#include "model/request-chain.h"
#include "model/request.h"
#include "model/endpoint.h"
#include "net/client.h"
#include "net/loop.h"

enum {
	OUT_MAX = 64 << 10, /* of an answer that waits for its agent; then the provider is paused */
	OUT_LOW = 16 << 10, /* and goes on */
	ERROR_MAX = 256 << 10, /* of a provider's error, which is kept until it is whole */
	/* What one attempt may have. PID 1 of its sandbox opens fewer connections. */
	ACCOUNT_POOLS = 16,	/* models */
	ACCOUNT_CALLS = 4096,	/* requests at a time */
	ACCOUNT_REFUSED = 1000, /* lines in its log of calls that went nowhere */
	ACCOUNT_BODIES = 2,	/* times the longest body, of all bodies at a time */
	ALL_BODIES = 16,	/* the same of all attempts */
};

struct gateway;
struct account;
struct call;
struct worker;
struct replay_call;
struct replay;

/* queue.c */

/* One key's quota for one model. */
struct lane {
	const struct provider_key *key; /* NULL: none is sent */
	struct quota quota;
	uint64_t turn; /* of the pool, when it was used last: the lowest is next */
	bool refused; /* the provider refused the key or its account is spent, and there is another */
	bool noted;   /* people know */
};

/* Those who wait for one model of one provider. */
struct pool {
	struct pool *next;
	const struct upstream *provider;
	char *model;
	struct lane *lanes; /* one for each key of the provider */
	size_t lanes_n;
	uint64_t turns;
	struct party *parties; /* a ring; the first is next */
	int64_t good_ms;       /* the last answer that was no refusal to work */
	int64_t shut_ms;       /* since when every try has failed; 0: the last one did not */
	int64_t said_ms;       /* people were told last that it is shut */
	char served[128];      /* the model that answered last, as it names itself */
	int moves;	       /* how often that changed */
	bool plain;	       /* the provider refuses what we add to a request */
	int failing;	       /* calls that are tried again and again */
	int last_status;       /* of the last answer that was one; 0: there was no answer */
	struct loop_timer timer;
	struct gateway *gw;
	struct renewal *renewal; /* of the first lane's key; NULL: it stays as it is */
	bool pumping;
	int uses;    /* calls and attempts that know of it */
	bool is_own; /* some attempt is there to ask this model */
};

/* One attempt's calls in a pool, in order. */
struct party {
	struct party *next, *prev;
	struct pool *pool;
	const struct account *account;
	struct call *first, *last;
};

void queue_add(struct call *c,
	       bool first); /* FIRST: before the attempt's other calls: it waited already */
void queue_remove(struct call *c);
void queue_leave_lane(struct call *c); /* its try is over; it has a lane */
/* Takes the next call that may start out of the queue, with the lane it goes by; NULL: none may now. */
struct call *queue_next(struct pool *p, struct lane **lane);
void queue_wait(struct pool *p);      /* until a lane that is shut opens: then the pool is due */
void queue_look_soon(struct pool *p); /* the pool is due at once; from within a callback of curl */
void queue_free_all(struct gateway *gw);
/* C joins those who wait for its model; DUE is called, with the pool, when more of it may start. False: its attempt has asked
 * for so many models that this one is not asked for. A pool that nobody is in, and whose model never answered, goes. */
bool queue_join_pool(struct call *c, void (*due)(void *pool));
void queue_leave_pool(struct call *c);
void queue_leave_all(struct account *a);
/* Another key than that of its lane, which C may use, was not refused. */
bool queue_has_other(const struct call *c);
int queue_in_flight(const struct pool *p);
/* None of the keys that are left to C may be used before DEADLINE. */
bool queue_is_shut_past(const struct call *c, int64_t now_ms, int64_t deadline_ms);

/* call.c */

enum call_state {
	CALL_READING, /* its request */
	CALL_HELD,    /* until other calls of its attempt have shown what they cost */
	CALL_QUEUED,
	CALL_BACKING_OFF,
	CALL_FLYING,
	CALL_OVER,
};

/* What the agent asks. */
struct call_asked {
	char *uri;
	char method[8];
	struct endpoint endpoint;
	struct model_request names; /* what the body says of itself */
	struct buf target;	    /* the URI without a key */
	struct buf body;
	char *coding;	    /* of the body as it came: Content-Encoding; NULL: none */
	int64_t body_bytes; /* as the agent sent it */
	bool patched;	    /* BODY has what model_request_patch adds */
	struct curl_slist *headers;
	char hash[HASH_HEX];
	int64_t held_bytes; /* of the body, as its account counts them */
	bool head_read, body_read, too_big, too_much;
};

/* Its place in the queue, and the key it got there. */
struct call_turn {
	struct pool *pool;
	struct party *party;
	struct call *next, *prev; /* of the party */
	struct lane *lane;
	const struct provider_key *key_used; /* of the last try */
	bool key_tried;			     /* a provider was asked */
	int renewals;			     /* how often it was refused for a key's age */
};

struct call_times {
	int64_t asked_ms, wait_ms, sent_ms, first_ms, byte_ms, queued_total_ms, fail_ms;
	int retries;
};

/* One try at the provider. */
struct call_try {
	CURL *easy; /* NULL: none */
	void (*ended)(struct call *c, CURLcode code);
	struct curl_slist *sent_headers; /* the agent's and the key, while it is under way */
	bool head_seen, paused, hopeless;
	int64_t bytes; /* of its answer */
	bool endless;  /* its answer is longer than any may be */
	bool kept;     /* an error: nothing of it goes to the agent before it is whole */
	struct provider_error said;
	double retry_after_s;	      /* negative: not stated */
	double retry_after_ms;	      /* the same, more exactly: negative: not stated */
	char retry_after[64];	      /* as its header has it */
	char date[40];		      /* of the provider's clock; "": not stated */
	bool encoded;		      /* the answer came compressed, and is handed on plain */
	char reason[CURL_ERROR_SIZE]; /* curl's own words */
	struct quota_report report;
};

/* What the agent gets. */
struct call_answer {
	int status;	    /* 0: none yet */
	struct buf headers; /* "Name\0Value\0" each */
	int64_t length;	    /* -1: not stated */
	bool is_events;
	struct key_mask mask; /* of the key that it was asked with */
	struct buf out, held; /* for the agent; not to be given before more of it is there */
	size_t out_at;
	int64_t bytes; /* from the provider */
	bool head_ready, done, cut;
	bool own; /* made by us */
	bool metering;
	struct usage_meter meter;
};

/* The agent's connection. */
struct call_agent {
	struct MHD_Connection *conn;
	int fd;		/* -1: cannot be watched */
	bool suspended; /* libmicrohttpd does not look at it */
	bool closes;	/* after this request */
	bool gone;	/* the agent left */
	struct loop_watch watch;
};

struct call {
	struct gateway *gw;
	enum call_state state;
	int64_t id;
	struct call *next, *prev; /* of all calls */
	struct account *account;  /* NULL: the gateway stands alone, or the attempt is gone */
	const struct upstream *provider;
	const struct price *price; /* of its model, or one that is not known */
	int64_t reserved_tokens;   /* of its account */
	double reserved_usd;
	bool reserves;
	struct call_asked asked;   /* front.c and call.c, as it is read */
	struct call_turn turn;	   /* queue.c, and call.c as a try begins */
	struct call_times times;   /* call.c; upstream.c says when a byte came */
	struct call_try try;	   /* upstream.c; what is made of it, call.c and answer.c */
	struct call_answer answer; /* upstream.c or replay.c the head, answer.c the rest */
	struct call_agent agent;   /* front.c */
	struct loop_timer timer;   /* until it is tried again */
	char error[320];
	char differs[400]; /* from the recorded request that it is answered as; "": in nothing */
	/* Errors of status 500, whose words were always those. */
	char same_words[160];
	int same;
	bool failing;	 /* counted in its pool */
	bool went_plain; /* what we had added was taken out again */
	bool settled;	 /* accounted for */
	int open_line;	 /* its line among the calls under way, from 1; 0: none */
	bool on_todo;
	struct call *todo_next;
	struct replay_call *replayed; /* frames of a recorded answer are handed out from here */
};

struct call *call_new(struct gateway *gw, const char *uri);
void call_free(struct call *c);	  /* cancels what runs */
void call_submit(struct call *c); /* the body is there */
/* The attempt was detached, or its agent left. */
void call_cancel(struct call *c, const char *end);
void call_cancel_all(struct account *a); /* that was detached */
/* Regularly, of every call that is not over. */
void call_tick(struct call *c);
void call_tick_soon(struct gateway *gw); /* sets the timer for it */

/* renew.c */

struct renewal;
/* P's provider has a command for its key. */
void renew_join(struct pool *p);
/* Its key is being got anew, or that begins now since its time is over: nothing is to be sent. Then P is due. P has joined. */
bool renew_holds(struct pool *p);
/* The key of C's try was refused; true: there is another by now, or will be, and C is to be queued again. */
bool renew_asks(struct call *c);
void renew_proves(const struct call *c); /* the key of its try was good */
void renew_free_all(struct gateway *gw);

/* refusal.c */

/* What is between the agent and an answer, in one line. */
void refusal_describe_shut(struct call *c, char *out, size_t size);
/* The same for people, once a minute. */
void refusal_say_shut(struct call *c);
/* How long a provider may stay shut: one that is only busy, or was well before, may come back. */
int64_t refusal_patience_ms(const struct call *c);
/* The answer that the agent had, or has, is none: whose fault is that? */
void refusal_tell(struct call *c, enum provider_refusal why);
/* The status of an answer that is over was good; true: what it says is that it failed, and that was told. */
bool refusal_inside(struct call *c);
/* What the provider refused with our addition it took without: so it goes on. */
void refusal_learn_plain(struct call *c);
/* This key is refused or spent, while another may be let in: true, the call is to be made with that. */
bool refusal_set_aside(struct call *c, struct lane *l, enum provider_refusal why);
/* There is something about this request that the provider does not say better than by errors. */
bool refusal_of_this_call(struct call *c);

/* admit.c */

/* The request's head is known: METHOD, TOKEN (NULL: none came). It may be refused here. */
void admit_head(struct call *c, const char *method, bool upgrade, const char *token);
/* The body is decoded, and what it names is read; false: it was refused. */
bool admit_body(struct call *c);
bool admit_route(struct call *c); /* its provider and price; false: it was refused */

/* answer.c */

/* From upstream.c: the head of an answer is there, bytes of it are. */
void answer_got_head(struct call *c);
/* False: not now, pause; or never, where the try is endless then. */
bool answer_got_bytes(struct call *c, const char *data, size_t n);
/* Its connection is to be looked at, before the loop waits again. */
void answer_wake(struct call *c);
/* One of our own, in the shape of the API. */
void answer_own(struct call *c, int status, const char *message);
/* It is over: what was held back goes the same way. */
void answer_pass_held(struct call *c);
/* An error that was kept is the agent's. */
void answer_pass_error(struct call *c);

/* upstream.c */

/* ENDED is called once, with what curl says, unless it is stopped before. */
int upstream_start(struct call *c, void (*ended)(struct call *c, CURLcode code),
		   struct err *err) MUST_CHECK;
void upstream_stop(struct call *c);
void upstream_go_on(struct call *c); /* after a pause */
void upstream_done(void *ctx, CURL *easy, CURLcode code);
void upstream_free_all(struct gateway *gw);

/* front.c */

int front_open(struct gateway *gw, struct err *err) MUST_CHECK;
void front_close(struct gateway *gw);
/* Let libmicrohttpd do what it has to. True: it wants to run again at once. */
bool front_run(struct gateway *gw);
void front_resume(struct call *c);
void front_watch(struct call *c); /* notice when the agent leaves */

/* accounts.c */

/* A model that an attempt may ask, by way of whom. */
struct account_use {
	const struct upstream *provider;
	char *model;
	const struct key_set *keys; /* that it may use */
	/* The one that answered last: what a provider encrypted or holds in a cache belongs to it. NULL: none yet. */
	const struct provider_key *key;
};

/* What one token stands for: an attached attempt, what it may use, and what it has used. */
struct account {
	struct account *next; /* of its bucket */
	struct gateway *gw;
	char *token;
	const struct upstream *provider;
	char *model;
	struct control_limits limits;
	int log_fd, open_fd, record_fd, replay_fd;
	enum call_open { OPEN_FREE, OPEN_SENT, OPEN_ENDED } * open; /* the lines of open_fd */
	size_t open_n, open_cap;
	bool replay_live;
	struct replay *replay;
	struct worker *worker;
	struct buf log, record;	       /* not written yet */
	struct request_chain requests; /* that were recorded */
	/* Sums; control_state is what the worker sees of them. */
	struct control_state sum;
	double priced;			   /* USD, of the calls that have a price */
	bool unpriced;			   /* some have none */
	bool leaving;			   /* it is detached: nothing of it starts any more */
	bool answered, own_answered;	   /* some call was; one of its own model */
	char refused_model[128];	   /* that sum.failed is of */
	struct control_failure unanswered; /* why the last one was not */
	struct account_use *uses; /* of PROVIDER and MODEL; of the others that were declared */
	size_t uses_n;
	bool declared;			   /* nothing else may be asked */
	struct strv keys, models;	   /* ids of those used; as served */
	struct pool *pools[ACCOUNT_POOLS]; /* of the models it asked for */
	int pools_n;
	int calls_open;	    /* requests that are read, under way, or whose answer is fetched */
	int64_t held_bytes; /* of their bodies */
	int refused;	    /* calls that no provider was asked */
	int waiting, flying, held;
	/* What calls under way may still use, and by what that is guessed: the dearest call so far, and the input of the
	 * last one whose usage was reported, beside what its body was estimated at. */
	int reserving;
	int64_t reserved_tokens, dearest_tokens, exact_input, exact_estimate;
	double reserved_usd, dearest_usd;
	int64_t calls_made, wait_from_ms;
	int64_t last_call; /* id */
	/* The state is to be sent; the files are to be written. */
	bool state_dirty, files_dirty;
	int64_t state_sent_ms;
	struct loop_timer state_timer;
	struct account *tell_next, *write_next;
};

/* Takes what A holds. ERR_USAGE for a bad token or a token that is attached. */
int accounts_add(struct gateway *gw, struct account *a, struct err *err) MUST_CHECK;
void accounts_remove(struct account *a); /* that has no calls any more; writes its files */
/* N bytes more of C's body are kept; false: they may not be. */
bool accounts_hold(struct call *c, size_t n);
/* C belongs to A, or to nobody any more. False: A has too many. */
bool accounts_join(struct call *c, struct account *a);
void accounts_leave(struct call *c);
/* Constant time in all but who it is that claims to call. NULL: nobody. */
struct account *accounts_find(struct gateway *gw, const char *token);
bool accounts_token_ok(const char *secret, const char *token);
/* How A asks PROVIDER: the first of its models there. */
struct account_use *accounts_use(const struct account *a, const struct upstream *provider);
/* The use that is MODEL's; NULL: it was not declared. */
const struct account_use *accounts_declared(const struct account *a, const char *model);
/* Counting who waits and who is served; *C moves from the one to the other. */
void accounts_wait(struct account *a, int waiting, int flying);
/* "token_limit of ... reached (...)", or NULL. Sets it in the state. */
const char *accounts_limit(struct account *a);
/* "[budget] usd of ... reached (...)", or NULL: the benchmark's, whoever spent it. Sets it in the state. */
const char *accounts_budget(struct account *a);
/* What C may use is set aside, where its attempt has limits, or the benchmark a budget. False: with what other calls may still use that is too much,
 * and C has to wait for one of them. */
bool accounts_reserve(struct account *a, struct call *c);
void accounts_unreserve(struct account *a, struct call *c);
/* Tokens of a request estimated at TOKENS: history that was counted before counts as it was. */
int64_t accounts_guess_input(const struct account *a, int64_t tokens);
/* A call to MODEL failed for good. It is the attempt's failure when that is one of its own models, until that answers again. */
void accounts_fail(struct account *a, const char *model, struct control_failure why);
/* A call was made, and was not answered: WHY. */
void accounts_unanswered(struct account *a, struct control_failure why);
void accounts_call_over(struct account *a, const struct call *c, const struct token_usage *u,
			bool estimated, double usd);
void accounts_dirty(struct account *a, bool state, bool files);
void accounts_write(struct gateway *gw); /* write what is to be written */
json_t *accounts_state(struct account *a);

/* workers.c */

int workers_open(struct gateway *gw, struct err *err) MUST_CHECK;
void workers_close(struct gateway *gw);
void workers_tell(struct gateway *gw); /* the states that changed */

/* recording.c, replay.c */

/* A line of the call log of C's account, which it has. */
void recording_log(struct call *c, const struct token_usage *u, bool estimated, double usd,
		   const char *end);
/* A line for C, before it is sent, where calls under way are kept; written at once. */
void recording_open(struct call *c);
/* The lines of those of A that have ended become blank: theirs stand in the log. */
void recording_blank(struct account *a);
/* Frames of the recording, where one is kept. */
void recording_request(struct call *c);
void recording_head(struct call *c);
void recording_bytes(struct call *c, const char *data, size_t n);
void recording_end(struct call *c, const struct token_usage *u, bool estimated, const char *end);

int replay_open(struct replay **out, int fd, struct err *err) MUST_CHECK;
void replay_free(struct replay *r);
/* What a recorded call once cost. */
struct replay_cost {
	struct token_usage tokens;
	bool estimated;
	char model[128], end[16];
};
enum replay_says {
	REPLAY_LIVE,	/* it goes to the provider */
	REPLAY_GIVEN,	/* its answer is at hand, and *COST, which lives as long as the recording */
	REPLAY_REFUSED, /* the agent asks what was not recorded */
};
enum replay_says replay_call(struct call *c, const struct replay_cost **cost);
/* The next piece of the answer into c->out, which is empty; or c->done. */
void replay_feed(struct call *c);
void replay_call_free(struct call *c);

/* main.c */

enum { BUCKETS = 1024 };

struct gateway {
	struct setup doc;
	struct loop *loop;
	struct http_client *client;
	struct MHD_Daemon *daemon;
	struct loop_watch front_watch, stdin_watch, control_watch;
	struct loop_timer front_timer, tick_timer, totals_timer;
	bool front_due;
	struct account *accounts[BUCKETS], *tell,
		*write; /* the last two: lists of the dirty ones */
	struct worker *workers;
	struct pool *pools;
	struct renewal *renewals;
	struct call *calls, *todo;
	CURL **idle;
	size_t idle_n, idle_cap;
	uint64_t random;
	/* Since the start. */
	int64_t calls_made, tokens, unpriced, waiting;
	double usd;
	/* Of calls under way, and of the dearest one so far. */
	int64_t reserved_tokens, dearest_tokens;
	double reserved_usd, dearest_usd;
	int64_t held_bytes; /* of bodies of requests */
	bool budget_noted;
	int64_t totals_ms, told[4];
	int64_t last_call;
	/* Notes that may still be said now, and those that were not. */
	struct loop_timer notes_timer;
	int notes_said, notes_unsaid;
};

/* events.c */

void events_open(struct gateway *gw);
void events_say(const char *event, const char *text); /* TEXT may be NULL */
void events_note(struct gateway *gw, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void events_changed(struct gateway *gw); /* the totals; said soon */
void events_totals(struct gateway *gw);	 /* said now */
