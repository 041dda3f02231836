/* Reads many event streams, and holds each against its sequence: the part of the load client that runs for each byte.
 *
 * A stream is HTTP/1.1 (chunked or not) with server-sent events in it, each with the payload
 * {"seq":N,"sent":NANOSECONDS,... as loadtests/events.py makes it. Every byte of it is taken apart by lines, so every event
 * of every connection is counted, and its number has to be the one that comes next. `client.py` opens the connections
 * and has the structs below too.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

enum { LINE = 512, LONGEST_HEAD = 16384, BUFFER = 1 << 20, AT_ONCE = 1024 };
enum { COUNTED = 1, SPARSE = 2, SAMPLED = 4, GZIP = 8, INFLATED = 16, RESUMES = 32 }; /* flags */
enum { HEAD, SIZE, CHUNK, END, ENDLESS };                                             /* modes */

struct line {
    uint32_t length;   /* of what has come of it; its beginning is kept */
    char bytes[LINE];
};

struct client {
    int32_t index, fd, flags, mode;
    int64_t left;       /* bytes of the chunk */
    int64_t received, events, following, gaps, repeated;
    int64_t newest;     /* when an event came last: ns since the epoch, as all times here */
    int64_t seq, sent;  /* of the frame that has not ended; seq is -1 where it has no event yet */
    int64_t *samples;   /* of each event: when it was sent, when it came */
    int64_t samples_count, samples_room;
    int32_t failed, status_seen, chunked, coded, head_bytes;
    char fault[256];    /* what it read that it should not */
    char id[LINE], next_id[LINE];
    struct line transport, text;
};

struct reader {
    int64_t events;           /* of all clients that are counted */
    int64_t waiting;          /* clients whose head has not come */
    struct client *failed;
    void (*inflate)(struct client *, const char *, size_t);
    int32_t poller;
    char buffer[BUFFER];
};

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int fail(struct client *c, const char *what, const char *text, size_t length) {
    if (!c->failed) snprintf(c->fault, sizeof c->fault, "%s%.*s", what, (int)(length < 200 ? length : 200), text);
    c->failed = 1;
    return 0;
}

/* Moves *at behind the next line and gives it without its end; NULL where the bytes end before it does. */
static const char *next_line(struct line *line, const char **at, const char *end, size_t *length) {
    const char *found = memchr(*at, '\n', end - *at), *stop = found ? found : end, *text = *at;
    size_t more = stop - *at;
    *length = more;
    if (line->length || !found) {
        if (line->length < LINE) memcpy(line->bytes + line->length, *at, more < LINE - line->length ? more : LINE - line->length);
        line->length = line->length + more < INT32_MAX ? line->length + more : INT32_MAX;
        text = line->bytes;
        *length = line->length < LINE ? line->length : LINE;
    }
    *at = found ? found + 1 : end;
    if (!found) return NULL;
    line->length = 0;
    if (*length && text[*length - 1] == '\r') --*length;
    return text;
}

static const char *number(const char *at, const char *end, int64_t *value) {
    const char *begin = at;
    for (*value = 0; at < end && *at >= '0' && *at <= '9' && at - begin < 19; at++) *value = *value * 10 + (*at - '0');
    return at > begin ? at : NULL;
}

static int starts(const char *text, size_t length, const char *with) {
    size_t size = strlen(with);
    return length >= size && !memcmp(text, with, size);
}

/* A frame has ended, and with it an event has come. */
static void take(struct reader *r, struct client *c, int64_t time) {
    if (c->seq > c->following && !(c->flags & SPARSE)) c->gaps += c->seq - c->following;
    if (c->seq < c->following) c->repeated++;
    else c->following = c->seq + 1;
    c->events++;
    c->newest = time;
    if (c->flags & COUNTED) r->events++;
    if (c->flags & SAMPLED) {
        if (c->samples_count == c->samples_room) {
            c->samples_room = c->samples_room ? 2 * c->samples_room : 256;
            c->samples = realloc(c->samples, c->samples_room * 2 * sizeof *c->samples);
            if (!c->samples) abort();
        }
        c->samples[2 * c->samples_count] = c->sent;
        c->samples[2 * c->samples_count++ + 1] = time;
    }
    c->seq = -1;
}

static int event_line(struct reader *r, struct client *c, const char *text, size_t length, int64_t time) {
    if (!length) {
        if (c->flags & RESUMES && *c->next_id) strcpy(c->id, c->next_id);
        if (c->seq >= 0) take(r, c, time);
    } else if (starts(text, length, "data:")) {
        const char *at = text + 5 + (text[5] == ' '), *end = text + length;
        if (c->seq >= 0 || !starts(at, end - at, "{\"seq\":") || !(at = number(at + 7, end, &c->seq))
            || !starts(at, end - at, ",\"sent\":") || !(at = number(at + 8, end, &c->sent)) || at == end || *at != ',')
            return fail(c, "not the head of an event: ", text, length);
    } else if (c->flags & RESUMES && starts(text, length, "id:")) {
        size_t skip = 3 + (length > 3 && text[3] == ' ');
        if (length >= LINE) return fail(c, "an id too long: ", text, length);
        memcpy(c->next_id, text + skip, length - skip);
        c->next_id[length - skip] = 0;
    } else if (starts(text, length, "event:") && !starts(text, length, "event: message")) {
        return fail(c, "not an event of the load: ", text, length);
    }
    return 1;
}

static int http_line(struct reader *r, struct client *c, const char *text, size_t length) {
    if (c->mode == END) {
        c->mode = SIZE;
        return length ? fail(c, "not the end of a chunk: ", text, length) : 1;
    }
    if (c->mode == SIZE) {
        size_t digits = 0;
        for (c->left = 0; digits < length && digits < 15; digits++) {
            char d = text[digits] | 32;
            if (d >= '0' && d <= '9') c->left = c->left * 16 + d - '0';
            else if (d >= 'a' && d <= 'f') c->left = c->left * 16 + d - 'a' + 10;
            else break;
        }
        if (!digits || (digits < length && text[digits] != ';')) return fail(c, "not a chunk: ", text, length);
        c->mode = CHUNK;
        return c->left ? 1 : fail(c, "the server ended the stream", "", 0);
    }
    if (!c->status_seen) {
        c->status_seen = 1;
        if (starts(text, length, "HTTP/1.") && length > 12 && !memcmp(text + 8, " 200 ", 5)) return 1;
        return fail(c, "answered ", text, length);
    }
    if (length) {
        static const char CHUNKED[] = "transfer-encoding: chunked", CODED[] = "content-encoding: gzip";
        c->chunked |= length == sizeof CHUNKED - 1 && !strncasecmp(text, CHUNKED, length);
        c->coded |= length == sizeof CODED - 1 && !strncasecmp(text, CODED, length);
        return 1;
    }
    if (c->coded != !!(c->flags & GZIP)) return fail(c, c->coded ? "coded as gzip" : "not coded as gzip", "", 0);
    c->mode = c->chunked ? SIZE : ENDLESS;
    r->waiting--;
    return 1;
}

/* Take in what is in the body of a response, its coding undone. */
void feed(struct reader *r, struct client *c, const char *at, size_t size, int64_t time) {
    const char *end = at + size, *text;
    size_t length;
    while (at < end && (text = next_line(&c->text, &at, end, &length)))
        if (!event_line(r, c, text, length, time)) break;
}

/* Take in what came from the socket. */
void take_in(struct reader *r, struct client *c, const char *at, size_t size, int64_t time) {
    const char *end = at + size, *text;
    size_t length;
    c->received += size;
    while (at < end && !c->failed) {
        if (c->mode == CHUNK || c->mode == ENDLESS) {
            size_t part = end - at;
            if (c->mode == CHUNK && part > (size_t)c->left) part = c->left;
            if (!(c->flags & GZIP)) feed(r, c, at, part, time);
            else if (c->flags & INFLATED) r->inflate(c, at, part);
            if (c->mode == CHUNK && !(c->left -= part)) c->mode = END;
            at += part;
            continue;
        }
        if ((text = next_line(&c->transport, &at, end, &length))) {
            if (c->mode == HEAD && (c->head_bytes += length) > LONGEST_HEAD) fail(c, "a head without an end", "", 0);
            else http_line(r, c, text, length);
        } else if (c->transport.length > (c->mode == HEAD ? LONGEST_HEAD : LINE)) {
            fail(c, "a line without an end: ", c->transport.bytes, LINE);
        }
    }
}

/* Read once from a connection, so many bytes at most. */
void receive(struct reader *r, struct client *c, size_t most) {
    ssize_t length = recv(c->fd, r->buffer, most < BUFFER ? most : BUFFER, MSG_DONTWAIT);
    if (length > 0) take_in(r, c, r->buffer, length, now());
    else if (length == 0) fail(c, "the server closed the connection", "", 0);
    else if (errno != EAGAIN && errno != EINTR) fail(c, "the connection broke: ", strerror(errno), 99);
    if (c->failed && !r->failed) r->failed = c;
}

/* Read once from each connection that has something, after a wait of so many milliseconds at most; how many had. */
int turn(struct reader *r, int wait) {
    struct epoll_event ready[AT_ONCE];
    int count = epoll_wait(r->poller, ready, AT_ONCE, wait);
    for (int i = 0; i < count; i++)
        if (ready[i].data.ptr) receive(r, ready[i].data.ptr, BUFFER);
    return count;
}

/* Read from the connection in each turn; without a client, only end a turn's wait when there is something to read. */
int watch(struct reader *r, int fd, struct client *c) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    return epoll_ctl(r->poller, EPOLL_CTL_ADD, fd, &event);
}

/* A new connection, on which the stream goes on that the client has read; a frame that had not ended is forgotten. */
void begin(struct reader *r, struct client *c, int fd) {
    c->fd = fd;
    c->mode = HEAD;
    c->seq = -1;
    c->status_seen = c->chunked = c->coded = c->head_bytes = 0;
    c->transport.length = c->text.length = *c->next_id = 0;
    r->waiting++;
}

void forget(struct client *c) {
    free(c->samples);
    c->samples = NULL;
    c->samples_count = c->samples_room = 0;
}
