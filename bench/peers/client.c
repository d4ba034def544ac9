/* client N ADDRESS PORT...: opens N connections with epoll, at most WINDOW under way; prints what that took as JSON.
 *
 * Each socket joins the edge-triggered epoll once, for its connect() and for all that may come later: two events, one
 * epoll_ctl(). All N stay open until the process ends.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

enum { WINDOW = 512 };

static int must(int result, const char *call)
{
    if (result < 0) {
        perror(call);
        exit(1);
    }
    return result;
}

static double seconds(struct timeval time)
{
    return time.tv_sec + time.tv_usec / 1e6;
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static rlim_t raise_soft_files(void)
{
    struct rlimit files;

    must(getrlimit(RLIMIT_NOFILE, &files), "getrlimit");
    files.rlim_cur = files.rlim_max;
    must(setrlimit(RLIMIT_NOFILE, &files), "setrlimit");
    return files.rlim_max;
}

static void start_connect(int epoll, const struct sockaddr_in *server)
{
    int fd = must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
    struct epoll_event interest = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.fd = fd};

    if (connect(fd, (const struct sockaddr *)server, sizeof *server) < 0 && errno != EINPROGRESS)
        must(-1, "connect");
    must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &interest), "epoll_ctl");
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
    struct sockaddr_in server = {.sin_family = AF_INET};
    struct epoll_event events[WINDOW];
    struct rusage before, after;

    char *is_open = calloc(raise_soft_files(), 1); /* by file descriptor */
    must(inet_pton(AF_INET, argv[2], &server.sin_addr) - 1, argv[2]);
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
