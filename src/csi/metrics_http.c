// SPDX-License-Identifier: Apache-2.0
// A small HTTP server for the metrics: one request a connection, each on a thread of its own, so
// that a connection that says nothing keeps nobody waiting.
#include "driver.h"

#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>

#define REQUEST_MAX_BYTES 8192
#define REQUEST_MAX_MS 5000
#define HOST_MAX 128
#define CLIENTS_MAX 16
#define ACCEPT_PAUSE_MS 200 /* after an error that isn't the client's */

struct csi_metrics_server {
	struct csi_driver *driver;
	pthread_t thread;
	pthread_mutex_t lock;	      /* of the clients */
	pthread_cond_t ended;	      /* a client's thread */
	int fd, clients[CLIENTS_MAX]; /* connections that are served; -1 = none */
	unsigned int n_clients;
};

static void send_all(int fd, const char *s, size_t n)
{
	while (n) {
		ssize_t w = send(fd, s, n, MSG_NOSIGNAL);

		if (w <= 0)
			return;
		s += w;
		n -= (size_t)w;
	}
}

static void reply(int fd, const char *status, const char *body)
{
	char head[256];
	int n = snprintf(head, sizeof(head),
			 "HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4; "
			 "charset=utf-8\r\nContent-Length: %zu\r\n"
			 "Connection: close\r\n\r\n",
			 status, strlen(body));

	send_all(fd, head, (size_t)n);
	send_all(fd, body, strlen(body));
}

/* Is the request's head whole: is there an empty line? */
static bool ends(const char *request, size_t n)
{
	return memmem(request, n, "\n\r\n", 3) || memmem(request, n, "\n\n", 2);
}

/* A request's head, in however many pieces it comes, within a time for all of them: others wait.
 * The status of its refusal, "" where the client is gone, NULL: it is there. */
static const char *read_head(int fd, char request[REQUEST_MAX_BYTES])
{
	double limit = base_now() + REQUEST_MAX_MS / 1e3;
	size_t n = 0;

	while (!ends(request, n)) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = (int64_t)((limit - base_now()) * 1e3);
		ssize_t got;

		if (n == REQUEST_MAX_BYTES - 1)
			return "431 Request Header Fields Too Large";
		if (left <= 0 || poll(&p, 1, (int)left) == 0)
			return "408 Request Timeout";
		got = recv(fd, request + n, REQUEST_MAX_BYTES - 1 - n, MSG_DONTWAIT);
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got <= 0)
			return "";
		n += (size_t)got;
	}
	request[n] = '\0';
	return NULL;
}

static void serve_one(struct csi_driver *d, int fd)
{
	_cleanup_free_ char *text = NULL;
	char request[REQUEST_MAX_BYTES];
	struct timeval limit = { REQUEST_MAX_MS / 1000, 0 };
	const char *refused;

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	refused = read_head(fd, request);
	if (refused && *refused)
		reply(fd, refused, "");
	if (refused)
		return;
	if (!strncmp(request, "GET /metrics ", 13)) {
		text = csi_metrics_text(d->metrics, d);
		reply(fd, text ? "200 OK" : "500 Internal Server Error",
		      text ? text : "no memory\n");
	} else if (!strncmp(request, "GET /healthz ", 13)) {
		reply(fd, "200 OK", "ok\n");
	} else {
		reply(fd, "404 Not Found", "there is /metrics and /healthz\n");
	}
}

/* ---- connections ---- */

struct client {
	struct csi_metrics_server *server;
	unsigned int slot;
	int fd;
};

/* Descriptors are closed under the lock: a stop cuts off those in the list. */
static void leave(struct client *c)
{
	struct csi_metrics_server *s = c->server;

	pthread_mutex_lock(&s->lock);
	s->clients[c->slot] = -1;
	s->n_clients--;
	close(c->fd);
	pthread_cond_broadcast(&s->ended);
	pthread_mutex_unlock(&s->lock);
	free(c);
}

static void *serve_client(void *arg)
{
	struct client *c = arg;

	serve_one(c->server->driver, c->fd);
	leave(c);
	return NULL;
}

/* A place among the clients; NULL: there are as many as may be. */
static struct client *enter(struct csi_metrics_server *s, int fd)
{
	struct client *c = calloc(1, sizeof(*c));
	unsigned int i = 0;

	pthread_mutex_lock(&s->lock);
	while (i < CLIENTS_MAX && s->clients[i] >= 0)
		i++;
	if (c && i < CLIENTS_MAX) {
		*c = (struct client){ s, i, fd };
		s->clients[i] = fd;
		s->n_clients++;
	}
	pthread_mutex_unlock(&s->lock);
	if (i < CLIENTS_MAX)
		return c;
	free(c);
	return NULL;
}

static void take_in(struct csi_metrics_server *s, int fd)
{
	struct client *c = enter(s, fd);
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	if (!c) {
		reply(fd, "503 Service Unavailable", "too many connections\n");
		close(fd);
		return;
	}
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attr, serve_client, c);
	pthread_attr_destroy(&attr);
	if (r)
		leave(c);
}

static void *serve(void *arg)
{
	struct csi_metrics_server *s = arg;
	bool told = false;

	for (;;) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0) {
			told = false;
			take_in(s, fd);
		} else if (errno == EINVAL) { /* shut down */
			return NULL;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			/* No descriptors, no memory: that passes. */
			if (!told)
				csi_logf(CSI_LOG_ERROR, "metrics", "accept: %s",
					 strerrordesc_np(errno));
			told = true;
			poll(NULL, 0, ACCEPT_PAUSE_MS);
		}
	}
}

/* "192.0.2.1:9810", "[::1]:9810", ":9810" (any address). */
static int split_address(const char *address, char host[HOST_MAX], const char **ret_port,
			 struct err *e)
{
	const char *colon = strrchr(address, ':');
	size_t n = colon ? (size_t)(colon - address) : 0;
	bool brackets = n >= 2 && address[0] == '[' && address[n - 1] == ']';
	uint32_t port;

	if (!colon || n >= HOST_MAX)
		return err_set(e, -EINVAL, "metrics-address: \"%s\" is no address:port", address);
	memcpy(host, address + brackets, n - 2 * brackets);
	host[n - 2 * brackets] = '\0';
	if (brackets != (strchr(host, ':') != NULL) || strpbrk(host, "[]"))
		return err_set(e, -EINVAL,
			       "metrics-address: \"%s\": an IPv6 address, and only that, stands in "
			       "brackets, \"[::1]:9810\"",
			       address);
	if (text_parse_u32(colon + 1, &port) || port < 1 || port > 65535)
		return err_set(e, -EINVAL, "metrics-address: \"%s\": \"%s\" is no port", address,
			       colon + 1);
	*ret_port = colon + 1;
	return 0;
}

static int listen_on(const char *address, struct err *e)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC,
				  .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV },
			*ai;
	char host[HOST_MAX];
	const char *port = NULL;
	int fd, one = 1, r;

	r = split_address(address, host, &port, e);
	if (r)
		return r;
	r = getaddrinfo(host[0] ? host : NULL, port, &hints, &ai);
	if (r)
		return err_set(e, -EINVAL, "metrics-address: \"%s\": %s", address, gai_strerror(r));
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	r = fd < 0 || bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, 16) ? -errno : 0;
	freeaddrinfo(ai);
	if (r && fd >= 0)
		close(fd);
	return r ? err_sys(e, r, "metrics-address: can't listen on %s", address) : fd;
}

int csi_metrics_serve(const char *address, struct csi_driver *d, struct csi_metrics_server **ret,
		      struct err *e)
{
	struct csi_metrics_server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_set(e, -ENOMEM, "no memory for the metrics' server");
	s->driver = d;
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		s->clients[i] = -1;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->ended, NULL);
	s->fd = listen_on(address, e);
	r = s->fd < 0 ? s->fd : 0;
	if (!r) {
		r = -pthread_create(&s->thread, NULL, serve, s);
		if (r) {
			close(s->fd);
			r = err_sys(e, r, "no metrics thread");
		}
	}
	if (r) {
		pthread_mutex_destroy(&s->lock);
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void csi_metrics_stop(struct csi_metrics_server *s)
{
	if (!s)
		return;
	shutdown(s->fd, SHUT_RDWR); /* ends the accept */
	pthread_join(s->thread, NULL);
	close(s->fd);
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (s->clients[i] >= 0)
			shutdown(s->clients[i], SHUT_RDWR);
	while (s->n_clients)
		pthread_cond_wait(&s->ended, &s->lock);
	pthread_mutex_unlock(&s->lock);
	pthread_cond_destroy(&s->ended);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
