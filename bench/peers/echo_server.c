/* echo_server ADDRESS PORT...: sends back what comes in, with one thread and a level-triggered epoll.
 *
 * One recv() and one send() for each event, no call that only finds nothing more. What is sent back fits the send buffer as
 * long as a client waits for its answer before it sends again.
 */
#include "peer.h"

enum { MOST_BYTES = 4096 };

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
    return serve(argc, argv, EPOLLIN, send_back);
}
