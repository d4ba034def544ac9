/* What the peers have in common: calls that must succeed, all the files a process may have, clocks, a listener. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BACKLOG = 65535 }; /* listen(2) clips it to net.core.somaxconn */

static inline int must(int result, const char *call)
{
    if (result < 0) {
        perror(call);
        exit(1);
    }
    return result;
}

static inline rlim_t raise_soft_files(void)
{
    struct rlimit files;

    must(getrlimit(RLIMIT_NOFILE, &files), "getrlimit");
    files.rlim_cur = files.rlim_max;
    must(setrlimit(RLIMIT_NOFILE, &files), "setrlimit");
    return files.rlim_max;
}

static inline double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static inline double seconds(struct timeval time)
{
    return time.tv_sec + time.tv_usec / 1e6;
}

static inline struct sockaddr_in address_of(const char *address, const char *port)
{
    struct sockaddr_in end = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};

    must(inet_pton(AF_INET, address, &end.sin_addr) - 1, address);
    return end;
}

static inline int listen_on(const char *address, const char *port)
{
    struct sockaddr_in here = address_of(address, port);
    int fd = must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket"), on = 1;

    must(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "setsockopt");
    must(bind(fd, (const struct sockaddr *)&here, sizeof here), "bind");
    must(listen(fd, BACKLOG), "listen");
    return fd;
}

static inline void watch(int epoll, int fd, unsigned events)
{
    struct epoll_event interest = {.events = events, .data.fd = fd};

    must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &interest), "epoll_ctl");
}

/* accept() all that wait, and watch each for these events. */
static inline void accept_all(int epoll, int listener, unsigned events)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0)
            watch(epoll, fd, events);
        else if (errno == EAGAIN)
            return;
        else if (errno != ECONNABORTED)
            must(-1, "accept4");
    }
}

/* main() of a server "NAME ADDRESS PORT...": accept for ever, watch each connection for these events, and act on them. */
static inline int serve(int argc, char **argv, unsigned events, void (*act)(int fd))
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s ADDRESS PORT...\n", argv[0]);
        return 2;
    }
    struct epoll_event ready[512];
    int last_listener = 0;

    raise_soft_files();
    int epoll = must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    for (int i = 2; i < argc; i++)
        watch(epoll, last_listener = listen_on(argv[1], argv[i]), events);
    fprintf(stderr, "listening\n");

    for (;;) {
        int count = must(epoll_wait(epoll, ready, sizeof ready / sizeof *ready, -1), "epoll_wait");
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            if (fd <= last_listener) /* listeners came first, and none is closed: their numbers are the lowest */
                accept_all(epoll, fd, events);
            else
                act(fd);
        }
    }
}
