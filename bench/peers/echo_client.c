/* echo_client N IN_FLIGHT SECONDS ADDRESS PORT...: messages and their echoes on N connections; prints JSON.
 *
 * A closed loop: IN_FLIGHT messages are on their way at any time, at most one on each connection. When an answer is
 * complete, the connection that has waited longest for its turn sends the next. With IN_FLIGHT = N that is the one
 * whose answer has come, and every connection has a message on its way.
 */
#include "peer.h"

enum { EVENTS = 512, MESSAGE_BYTES = 32, BUCKET_US = 10, BUCKETS = 1000000 }; /* the last: 10 s and more */

struct connection {
    int fd, come; /* come: how many bytes of the answer */
    double sent_s;
};

static unsigned histogram[BUCKETS];

static void open_connection(struct connection *one, const char *address, const char *port)
{
    struct sockaddr_in server = address_of(address, port);

    one->fd = must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    must(connect(one->fd, (const struct sockaddr *)&server, sizeof server), "connect");
}

static void ask(struct connection *one, double at_s)
{
    static const char message[MESSAGE_BYTES];

    one->sent_s = at_s;
    one->come = 0;
    if (send(one->fd, message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof message)
        must(-1, "send");
}

/* Is the answer complete? */
static int hear(struct connection *one)
{
    char buffer[MESSAGE_BYTES];
    ssize_t size = recv(one->fd, buffer, sizeof buffer - one->come, MSG_DONTWAIT);

    if (size < 0 && errno == EAGAIN)
        return 0;
    if (size == 0)
        errno = ECONNRESET;
    one->come += must(size > 0 ? size : -1, "recv");
    return one->come == MESSAGE_BYTES;
}

static void note(double took_s)
{
    int bucket = took_s * 1e6 / BUCKET_US;

    histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
}

/* Within how many µs this share of the answers came. */
static double quantile_us(double share, long answers)
{
    long seen = 0;

    for (int bucket = 0; bucket < BUCKETS; bucket++)
        if ((seen += histogram[bucket]) >= share * answers && seen)
            return (bucket + 1.0) * BUCKET_US;
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr, "usage: echo_client N IN_FLIGHT SECONDS ADDRESS PORT...\n");
        return 2;
    }
    int wanted = atoi(argv[1]), in_flight = atoi(argv[2]), ports = argc - 5;
    double seconds_asked = atof(argv[3]);
    struct epoll_event events[EVENTS];
    struct rusage before, after;

    raise_soft_files();
    int epoll = must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    struct connection *all = calloc(wanted, sizeof *all);
    struct connection **turns = calloc(wanted, sizeof *turns); /* a ring of those that wait for their turn */
    for (int i = 0; i < wanted; i++) {
        struct epoll_event interest = {.events = EPOLLIN, .data.ptr = turns[i] = &all[i]};

        open_connection(&all[i], argv[4], argv[5 + i % ports]);
        must(epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].fd, &interest), "epoll_ctl");
    }
    if (in_flight > wanted)
        in_flight = wanted;

    getrusage(RUSAGE_SELF, &before);
    double start_s = now_s(), at_s = start_s, end_s = start_s + seconds_asked;
    long answers = 0, turn = 0;
    for (; turn < in_flight; turn++)
        ask(turns[turn], now_s());
    while (at_s < end_s) {
        int count = must(epoll_wait(epoll, events, EVENTS, 100), "epoll_wait");
        at_s = now_s();
        for (int i = 0; i < count; i++) {
            struct connection *one = events[i].data.ptr;

            if (!hear(one))
                continue;
            at_s = now_s();
            note(at_s - one->sent_s);
            turns[answers++ % wanted] = one;
            ask(turns[turn++ % wanted], at_s);
        }
    }
    getrusage(RUSAGE_SELF, &after);

    printf("{\"held\": %d, \"in_flight\": %d, \"answers_per_s\": %.1f, "
           "\"answer_us\": {\"p50\": %.0f, \"p99\": %.0f, \"max\": %.0f}, "
           "\"cpu_user_s\": %.6f, \"cpu_system_s\": %.6f}\n",
           wanted, in_flight, answers / (at_s - start_s), quantile_us(0.5, answers), quantile_us(0.99, answers),
           quantile_us(1, answers), seconds(after.ru_utime) - seconds(before.ru_utime),
           seconds(after.ru_stime) - seconds(before.ru_stime));
    return 0;
}
