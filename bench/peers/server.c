/* server ADDRESS PORT...: accepts with edge-triggered epoll, holds what it accepted until the client closes. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 65535, EVENTS = 512 }; /* listen(2) clips the backlog to net.core.somaxconn */

static int must(int result, const char *call)
{
    if (result < 0) {
        perror(call);
        exit(1);
    }
    return result;
}

static void raise_soft_files(void)
{
    struct rlimit files;

    must(getrlimit(RLIMIT_NOFILE, &files), "getrlimit");
    files.rlim_cur = files.rlim_max;
    must(setrlimit(RLIMIT_NOFILE, &files), "setrlimit");
}

static void watch(int epoll, int fd)
{
    struct epoll_event interest = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = fd};

    must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &interest), "epoll_ctl");
}

static int listen_on(const char *address, const char *port)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    int fd = must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket"), on = 1;

    must(inet_pton(AF_INET, address, &here.sin_addr) - 1, address);
    must(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "setsockopt");
    must(bind(fd, (const struct sockaddr *)&here, sizeof here), "bind");
    must(listen(fd, BACKLOG), "listen");
    return fd;
}

static void accept_all(int epoll, int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0)
            watch(epoll, fd);
        else if (errno == EAGAIN)
            return;
        else if (errno != ECONNABORTED)
            must(-1, "accept4");
    }
}

static void read_or_close(int fd)
{
    char buffer[4096];
    ssize_t size;

    while ((size = read(fd, buffer, sizeof buffer)) > 0)
        ;
    if (size == 0 || errno != EAGAIN)
        close(fd);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: server ADDRESS PORT...\n");
        return 2;
    }
    struct epoll_event events[EVENTS];
    int last_listener = 0;

    raise_soft_files();
    int epoll = must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    for (int i = 2; i < argc; i++)
        watch(epoll, last_listener = listen_on(argv[1], argv[i]));
    fprintf(stderr, "listening\n");

    for (;;) {
        int count = must(epoll_wait(epoll, events, EVENTS, -1), "epoll_wait");
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd <= last_listener) /* listeners came first, and none is closed: their numbers are the lowest */
                accept_all(epoll, fd);
            else
                read_or_close(fd);
        }
    }
}
