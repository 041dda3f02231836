/* The floor: what it costs a C program that does nothing else to send the same events over the same sockets.
 *
 *     cc -O2 -o floor floor.c && ./floor PORT EVENTS RATE FLUSH_MILLISECONDS
 *
 * Answers every request on 127.0.0.1:PORT with a chunked SSE stream. After a line on stdin it makes EVENTS events, RATE a
 * second, in the gateway's frame, and writes them to all clients every FLUSH_MILLISECONDS (0: each when it is made).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { RING = 1 << 27, MAX_FD = 65536, BLOCK = 1 << 22, PAYLOAD = 1200, MAX_EVENT = 2048 };

#define TOPIC "load-0000000000000000000" /* as long as the names that the gateway's topics are given */

static char ring[RING], block[BLOCK + 64];
static uint64_t head;                /* bytes ever written to the ring */
static uint64_t position[MAX_FD];    /* of each client in them */
static char streaming[MAX_FD];       /* the request has come */
static char blocked[MAX_FD];         /* its socket is full */
static int poller, top;             /* one more than the highest descriptor */
static char padding[PAYLOAD];

static const char HEADERS[] =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-store\r\n"
    "x-accel-buffering: no\r\naccess-control-allow-origin: *\r\ntransfer-encoding: chunked\r\n\r\n";
static const char PREAMBLE[] =
    ": floor\nretry: 1000\nid: [{\"topic\":\"" TOPIC "\",\"partition\":0,\"offset\":-1,\"timestamp\":0}]\n\n";

static void die(const char *what) { perror(what); exit(1); }

static int64_t now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void hang_up(int fd) {
    close(fd);
    streaming[fd] = blocked[fd] = 0;
}

/* Be told, or no longer, when the client's socket takes more. Asked for only when it is full: each ACK would tell. */
static void watch(int fd, char full) {
    if (full == blocked[fd]) return;
    struct epoll_event event = {.events = full ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.fd = fd};
    epoll_ctl(poller, EPOLL_CTL_MOD, fd, &event);
    blocked[fd] = full;
}

/* Send what the client has not had. */
static void push(int fd) {
    while (position[fd] < head) {
        if (head - position[fd] > RING) { hang_up(fd); return; }
        size_t from = position[fd] % RING, length = head - position[fd];
        if (length > RING - from) length = RING - from;
        ssize_t sent = send(fd, ring + from, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) { watch(fd, 1); return; }
        if (sent < 0) { hang_up(fd); return; }
        position[fd] += sent;
    }
    watch(fd, 0);
}

static void append(const char *bytes, size_t length) {
    size_t from = head % RING, first = length < RING - from ? length : RING - from;
    memcpy(ring + from, bytes, first);
    memcpy(ring, bytes + first, length - first);
    head += length;
}

static size_t make_event(char *out, uint64_t seq, int64_t sent) {
    char data[PAYLOAD + 1];
    int used = snprintf(data, sizeof data, "{\"seq\":%lu,\"sent\":%ld,\"$schema\":\"/wiki/change/1.0.0\","
        "\"meta\":{\"stream\":\"load\"},\"pad\":\"", seq, sent);
    snprintf(data + used, sizeof data - used, "%.*s\"}", PAYLOAD - used - 2, padding);
    return sprintf(out,
        "event: message\nid: [{\"topic\":\"" TOPIC "\",\"partition\":0,\"offset\":%lu,\"timestamp\":%ld}]\ndata: %s\n\n",
        seq, sent / 1000000, data);
}

/* Make the events that are due; each bears the time when it became so. `start` is of the real-time clock. */
static void flush(uint64_t *seq, uint64_t due, int64_t start, uint64_t rate) {
    while (*seq < due) {
        size_t length = 0;
        for (; *seq < due && length + MAX_EVENT < BLOCK; ++*seq)
            length += make_event(block + length, *seq, start + (*seq + 1) * 1000000000 / rate);
        char size[32];
        append(size, sprintf(size, "%zx\r\n", length));
        append(block, length);
        append("\r\n", 2);
    }
    for (int fd = 0; fd < top; fd++)
        if (streaming[fd]) push(fd);
}

static void accept_all(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MAX_FD) { close(fd); continue; }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
        if (fd >= top) top = fd + 1;
    }
}

static void receive(int fd) {
    char request[4096];
    ssize_t length = read(fd, request, sizeof request);
    if (length == 0 || (length < 0 && errno != EAGAIN)) { hang_up(fd); return; }
    if (length < 0 || streaming[fd]) return;
    char answer[1024];
    int size = sprintf(answer, "%s%zx\r\n%s\r\n", HEADERS, sizeof PREAMBLE - 1, PREAMBLE);
    if (write(fd, answer, size) != size) { hang_up(fd); return; }
    position[fd] = head;
    streaming[fd] = 1;
}

int main(int argc, char **argv) {
    if (argc != 5) { fprintf(stderr, "usage: floor PORT EVENTS RATE FLUSH_MILLISECONDS\n"); return 2; }
    uint64_t events = atoll(argv[2]), rate = atoll(argv[3]), seq = 0;
    int64_t interval = atoll(argv[4]) * 1000000, start = 0, next = 0, born = 0;
    if (interval == 0) interval = 1000000000 / rate;
    memset(padding, 'x', sizeof padding);
    signal(SIGPIPE, SIG_IGN);

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    poller = epoll_create1(0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) die("listen");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[1024];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    event.data.fd = 0;
    epoll_ctl(poller, EPOLL_CTL_ADD, 0, &event);

    for (;;) {
        struct timespec wait = {3600, 0};
        if (start && seq < events) {
            int64_t left = next - now(CLOCK_MONOTONIC);
            wait = (struct timespec){left > 0 ? left / 1000000000 : 0, left > 0 ? left % 1000000000 : 0};
        }
        int count = epoll_pwait2(poller, ready, 1024, &wait, NULL);
        if (count < 0 && errno != EINTR) die("epoll");
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            if (fd == listener) accept_all(listener);
            else if (fd == 0) {
                char line[16];
                if (read(0, line, sizeof line) <= 0) return 0;
                start = now(CLOCK_MONOTONIC);
                born = now(CLOCK_REALTIME);
                next = start + interval;
            } else {
                if (ready[i].events & EPOLLIN) receive(fd);
                if (blocked[fd] && ready[i].events & EPOLLOUT) push(fd);
            }
        }
        if (start && seq < events && now(CLOCK_MONOTONIC) >= next) {
            uint64_t due = (now(CLOCK_MONOTONIC) - start) / 1000 * rate / 1000000;
            flush(&seq, due < events ? due : events, born, rate);
            while (next <= now(CLOCK_MONOTONIC)) next += interval;
        }
    }
}
