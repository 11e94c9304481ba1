// The baseline relay: it copies bytes and does nothing else, so that no proxy can cost less. One thread, one edge-triggered epoll
// loop, and one connection to the application for each of a caller's. relay LISTEN-PORT APPLICATION-PORT
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_FDS = 65536, EVENTS = 512, CHUNK = 256 * 1024 };

// A side is one socket, with what the other side's peer has sent and the kernel does not take yet.
struct side {
	int fd;
	struct side *other;
	char *wait;
	int from, to; // the part of wait that is to be written
	int end;      // nothing more comes from this socket
	int dead;
};

static char chunk[CHUNK];
static int poll_fd;

static int in(int port, struct sockaddr_in *a)
{
	memset(a, 0, sizeof *a);
	a->sin_family = AF_INET;
	a->sin_port = htons(port);
	a->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return port > 0;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct side *watch(int fd)
{
	struct side *s = calloc(1, sizeof *s);
	int one = 1;
	if (!s) die("memory");
	s->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = s};
	if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &e)) die("epoll_ctl");
	return s;
}

// Both sides are freed after the events at hand, one of which may name the other side.
static struct side *graves[2 * EVENTS];
static int buried;

static void end(struct side *s)
{
	struct side *both[2] = {s, s->other};
	for (int i = 0; i < 2; i++) {
		if (both[i]->dead) continue;
		both[i]->dead = 1;
		close(both[i]->fd);
		graves[buried++] = both[i];
	}
}

// put writes what waits for s; 0: some is left, or the connection has ended.
static int put(struct side *s)
{
	while (s->from < s->to) {
		ssize_t n = write(s->fd, s->wait + s->from, s->to - s->from);
		if (n < 0 && errno == EAGAIN) return 0;
		if (n < 0) {
			end(s);
			return 0;
		}
		s->from += n;
	}
	free(s->wait);
	s->wait = NULL;
	s->from = s->to = 0;
	if (s->other->end) shutdown(s->fd, SHUT_WR);
	return 1;
}

// pass copies from s to its other side until there is nothing more, or the other side takes no more.
static void pass(struct side *s)
{
	struct side *o = s->other;
	while (!s->dead && !s->end && o->to == 0) {
		ssize_t n = read(s->fd, chunk, CHUNK);
		if (n < 0 && errno == EAGAIN) return;
		if (n < 0) {
			end(s);
			return;
		}
		if (n == 0) {
			s->end = 1;
			if (o->end) end(s);
			else shutdown(o->fd, SHUT_WR);
			return;
		}
		ssize_t w = write(o->fd, chunk, n);
		if (w < 0 && errno != EAGAIN) {
			end(s);
			return;
		}
		if (w < 0) w = 0;
		if (w < n) {
			if (!(o->wait = malloc(n - w))) die("memory");
			memcpy(o->wait, chunk + w, n - w);
			o->to = n - w;
		} else if (n < CHUNK) {
			return; // edge-triggered: what comes later is told
		}
	}
}

static void enter(int fd, const struct sockaddr_in *app)
{
	int up = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (up < 0 || connect(up, (const void *)app, sizeof *app)) {
		close(up);
		close(fd);
		return;
	}
	int one = 1; // loopback connects at once: only what follows must not block
	ioctl(up, FIONBIO, &one);
	struct side *a = watch(fd), *b = watch(up);
	a->other = b;
	b->other = a;
}

int main(int argc, char **argv)
{
	struct sockaddr_in at, app;
	int one = 1;
	if (argc != 3 || !in(atoi(argv[1]), &at) || !in(atoi(argv[2]), &app)) {
		fprintf(stderr, "usage: relay LISTEN-PORT APPLICATION-PORT\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(l, (void *)&at, sizeof at) || listen(l, 8192)) die("listen");
	poll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
	if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, l, &e)) die("epoll_ctl");
	for (;;) {
		static struct epoll_event events[EVENTS];
		int n = epoll_wait(poll_fd, events, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			struct side *s = events[i].data.ptr;
			if (!s) {
				for (int fd; (fd = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) enter(fd, &app);
				continue;
			}
			if (s->dead) continue;
			if ((events[i].events & EPOLLOUT) && s->to > 0 && put(s)) pass(s->other);
			if (!s->dead && (events[i].events & ~EPOLLOUT)) pass(s);
		}
		while (buried > 0) {
			free(graves[--buried]->wait);
			free(graves[buried]);
		}
	}
}
