/* server ADDRESS PORT...: accepts with edge-triggered epoll, holds what it accepted until the client closes. */
#include "peer.h"

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
    return serve(argc, argv, EPOLLIN | EPOLLRDHUP | EPOLLET, read_or_close);
}
