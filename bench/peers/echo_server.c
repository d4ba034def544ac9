/* echo_server ADDRESS PORT...: sends back what comes in, with one thread and a level-triggered epoll.
 *
 * One recv() and one send() for each event, no call that only finds nothing more. What is sent back fits the send buffer as
 * long as a client waits for its answer before it sends again.
 */
#include "peer.h"

enum { EVENTS = 512, MOST_BYTES = 4096 };

static void send_back(int fd)
{
    char buffer[MOST_BYTES];
    ssize_t size = recv(fd, buffer, sizeof buffer, 0);

    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0 || send(fd, buffer, size, MSG_NOSIGNAL) != size)
        close(fd);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: echo_server ADDRESS PORT...\n");
        return 2;
    }
    struct epoll_event events[EVENTS];
    int last_listener = 0;

    raise_soft_files();
    int epoll = must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    for (int i = 2; i < argc; i++)
        watch(epoll, last_listener = listen_on(argv[1], argv[i]), EPOLLIN);
    fprintf(stderr, "listening\n");

    for (;;) {
        int count = must(epoll_wait(epoll, events, EVENTS, -1), "epoll_wait");
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd <= last_listener) /* as in server.c: the listeners have the lowest numbers */
                accept_all(epoll, fd, EPOLLIN);
            else
                send_back(fd);
        }
    }
}
