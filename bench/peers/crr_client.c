/* crr_client FLOWS SECONDS ADDRESS PORT...: connect, send, receive, close, again and again; prints JSON.
 *
 * A closed loop: FLOWS connections exist at any time. Each sends 32 bytes when it is open, waits for as many, and is
 * closed by reset; the next one starts at once. Each socket joins the edge-triggered epoll once.
 */
#include "peer.h"

enum { EVENTS = 512, MESSAGE_BYTES = 32, BUCKET_US = 10, BUCKETS = 1000000 }; /* the last: 10 s and more */

struct flow {
    int fd, is_open, come; /* come: how many bytes of the answer */
    double start_s;
};

static unsigned histogram[BUCKETS];

static void start(int epoll, struct flow *flow, const struct sockaddr_in *server, double at_s)
{
    struct epoll_event interest = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = flow};

    flow->fd = must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
    flow->is_open = flow->come = 0;
    flow->start_s = at_s;
    if (connect(flow->fd, (const struct sockaddr *)server, sizeof *server) < 0 && errno != EINPROGRESS)
        must(-1, "connect");
    must(epoll_ctl(epoll, EPOLL_CTL_ADD, flow->fd, &interest), "epoll_ctl");
}

static void say(struct flow *flow)
{
    static const char message[MESSAGE_BYTES];

    flow->is_open = 1;
    if (send(flow->fd, message, sizeof message, MSG_NOSIGNAL) != sizeof message)
        must(-1, "send");
}

/* Is the answer complete? */
static int hear(struct flow *flow)
{
    char buffer[MESSAGE_BYTES];
    ssize_t size = recv(flow->fd, buffer, sizeof buffer - flow->come, 0);

    if (size < 0 && errno == EAGAIN)
        return 0;
    if (size == 0)
        errno = ECONNRESET;
    flow->come += must(size > 0 ? size : -1, "recv");
    return flow->come == MESSAGE_BYTES;
}

static void reset(int fd)
{
    struct linger by_reset = {.l_onoff = 1, .l_linger = 0};

    must(setsockopt(fd, SOL_SOCKET, SO_LINGER, &by_reset, sizeof by_reset), "setsockopt");
    close(fd);
}

static void note(double took_s)
{
    int bucket = took_s * 1e6 / BUCKET_US;

    histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
}

/* Within how many µs this share of the connections had their answer. */
static double quantile_us(double share, long done)
{
    long seen = 0;

    for (int bucket = 0; bucket < BUCKETS; bucket++)
        if ((seen += histogram[bucket]) >= share * done && seen)
            return (bucket + 1.0) * BUCKET_US;
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: crr_client FLOWS SECONDS ADDRESS PORT...\n");
        return 2;
    }
    int flows = atoi(argv[1]), ports = argc - 4, turn = 0;
    double seconds_asked = atof(argv[2]);
    struct sockaddr_in server = address_of(argv[3], argv[4]);
    struct epoll_event events[EVENTS];
    struct rusage before, after;
    long done = 0;

    raise_soft_files();
    int epoll = must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    struct flow *all = calloc(flows, sizeof *all);

    getrusage(RUSAGE_SELF, &before);
    double start_s = now_s(), at_s = start_s, end_s = start_s + seconds_asked;
    for (int i = 0; i < flows; i++) {
        server.sin_port = htons(atoi(argv[4 + turn++ % ports]));
        start(epoll, &all[i], &server, now_s());
    }
    while (at_s < end_s) {
        int count = must(epoll_wait(epoll, events, EVENTS, 100), "epoll_wait");
        at_s = now_s();
        for (int i = 0; i < count; i++) {
            struct flow *flow = events[i].data.ptr;

            if (events[i].events & EPOLLERR) {
                errno = ECONNRESET;
                must(-1, "a connection");
            }
            if (!flow->is_open && events[i].events & EPOLLOUT)
                say(flow);
            if (!(events[i].events & EPOLLIN) || !hear(flow))
                continue;
            at_s = now_s();
            note(at_s - flow->start_s);
            reset(flow->fd);
            done++;
            server.sin_port = htons(atoi(argv[4 + turn++ % ports]));
            start(epoll, flow, &server, at_s);
        }
    }
    getrusage(RUSAGE_SELF, &after);

    double cpu_user_s = seconds(after.ru_utime) - seconds(before.ru_utime);
    double cpu_system_s = seconds(after.ru_stime) - seconds(before.ru_stime);
    printf("{\"completed\": %ld, \"completed_per_s\": %.1f, "
           "\"last_service_us\": {\"p50\": %.0f, \"p99\": %.0f, \"max\": %.0f}, "
           "\"cpu_user_s\": %.6f, \"cpu_system_s\": %.6f, \"cpu_us_each\": %.3f}\n",
           done, done / (at_s - start_s), quantile_us(0.5, done), quantile_us(0.99, done), quantile_us(1, done),
           cpu_user_s, cpu_system_s, (cpu_user_s + cpu_system_s) / done * 1e6);
    return 0;
}
