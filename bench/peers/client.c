/* client N ADDRESS PORT...: opens N connections with epoll, at most WINDOW under way; prints what that took as JSON.
 *
 * Each socket joins the edge-triggered epoll once, for its connect() and for all that may come later: two events, one
 * epoll_ctl(). All N stay open until the process ends.
 */
#include "peer.h"

enum { WINDOW = 512 };

static void start_connect(int epoll, const struct sockaddr_in *server)
{
    int fd = must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");

    if (connect(fd, (const struct sockaddr *)server, sizeof *server) < 0 && errno != EINPROGRESS)
        must(-1, "connect");
    watch(epoll, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

static void finish_connect(int fd)
{
    int error;
    socklen_t size = sizeof error;

    must(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size), "getsockopt");
    if (error) {
        errno = error;
        must(-1, "connect");
    }
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: client N ADDRESS PORT...\n");
        return 2;
    }
    int wanted = atoi(argv[1]), ports = argc - 3, started = 0, open = 0;
    struct sockaddr_in server = address_of(argv[2], argv[3]);
    struct epoll_event events[WINDOW];
    struct rusage before, after;

    char *is_open = calloc(raise_soft_files(), 1); /* by file descriptor */
    int epoll = must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");

    getrusage(RUSAGE_SELF, &before);
    double start_s = now_s();
    while (open < wanted) {
        for (; started < wanted && started - open < WINDOW; started++) {
            server.sin_port = htons(atoi(argv[3 + started % ports]));
            start_connect(epoll, &server);
        }
        int count = must(epoll_wait(epoll, events, WINDOW, -1), "epoll_wait");
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;

            finish_connect(fd);
            open += !is_open[fd];
            is_open[fd] = 1;
        }
    }
    double elapsed_s = now_s() - start_s;
    getrusage(RUSAGE_SELF, &after);

    printf("{\"held\": %d, \"elapsed_s\": %.6f, \"cpu_user_s\": %.6f, \"cpu_system_s\": %.6f}\n", open, elapsed_s,
           seconds(after.ru_utime) - seconds(before.ru_utime), seconds(after.ru_stime) - seconds(before.ru_stime));
    return 0;
}
