/* server ADDRESS PORT...: accepts with edge-triggered epoll, holds what it accepted until the client closes. */
#include "peer.h"

enum { EVENTS = 512, INCOMING = EPOLLIN | EPOLLRDHUP | EPOLLET };

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
        watch(epoll, last_listener = listen_on(argv[1], argv[i]), INCOMING);
    fprintf(stderr, "listening\n");

    for (;;) {
        int count = must(epoll_wait(epoll, events, EVENTS, -1), "epoll_wait");
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd <= last_listener) /* listeners came first, and none is closed: their numbers are the lowest */
                accept_all(epoll, fd, INCOMING);
            else
                read_or_close(fd);
        }
    }
}
