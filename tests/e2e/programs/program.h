/* What the small librdmacm programs of the end-to-end tests share. They use Debian's headers and libraries only, print
 * one line for each thing that happens, and are told what to do by lines on standard input. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rdma/rdma_cma.h>
#include <rdma/rdma_verbs.h>

/* One line, at once. */
__attribute__((format(printf, 1, 2))) static inline void say(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  putchar('\n');
  fflush(stdout);
}

/* "CALL: ok" or "CALL: EINVAL"; returns whether it was ok. `result` as librdmacm returns it. */
static inline int said_ok(const char* call, int result) {
  say("%s: %s", call, result == 0 ? "ok" : strerrorname_np(errno));
  return result == 0;
}

#define MUST(expression)                                                                    \
  do {                                                                                      \
    if (!(expression)) {                                                                    \
      say("%s:%d: %s failed: %s", __FILE__, __LINE__, #expression, strerrorname_np(errno)); \
      exit(1);                                                                              \
    }                                                                                       \
  } while (0)

static inline void say_event(const struct rdma_cm_event* event) {
  say("EVENT %s %d", rdma_event_str(event->event), event->status);
}

static inline struct sockaddr_storage parse_address(const char* host, const char* port) {
  struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *found;
  MUST(getaddrinfo(host, port, &hints, &found) == 0);
  struct sockaddr_storage address = {0};
  memcpy(&address, found->ai_addr, found->ai_addrlen);
  freeaddrinfo(found);
  return address;
}

/* A line from standard input without its newline; 0 at its end. Read byte by byte: poll() must not miss what a buffer
 * holds. */
static inline int read_command(char* line, size_t size) {
  size_t length = 0;
  for (char c; read(STDIN_FILENO, &c, 1) == 1;) {
    if (c == '\n') {
      line[length] = 0;
      return 1;
    }
    if (length + 1 < size) line[length++] = c;
  }
  return 0;
}

/* Waits until the event channel or standard input has something; returns 1 for the channel, 0 for input. */
static inline int channel_before_input(struct rdma_event_channel* channel) {
  struct pollfd files[] = {{.fd = channel->fd, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
  while (poll(files, 2, -1) < 0) MUST(errno == EINTR);
  return (files[0].revents & POLLIN) != 0;
}

/* A connection's queue pair, with one buffer and `depth` receives posted. */
enum { depth = 4, message_bytes = 4096 };
struct endpoint {
  struct rdma_cm_id* id;
  struct ibv_mr* mr;
  unsigned char* memory; /* depth receive buffers, then one send buffer */
};

static inline void post_receive(struct endpoint* end, unsigned slot) {
  MUST(rdma_post_recv(end->id, (void*)(uintptr_t)slot, end->memory + (size_t)slot * message_bytes, message_bytes,
                      end->mr) == 0);
}

/* Returns what rdma_create_qp does: an id whose peer has gone meanwhile gets no queue pair any more. */
static inline int try_open_endpoint(struct endpoint* end, struct rdma_cm_id* id) {
  struct ibv_qp_init_attr attributes = {
      .cap = {.max_send_wr = depth, .max_recv_wr = depth, .max_send_sge = 1, .max_recv_sge = 1},
      .qp_type = IBV_QPT_RC,
      .sq_sig_all = 1};
  end->id = id;
  id->context = end;
  if (rdma_create_qp(id, NULL, &attributes) != 0) return -1;
  MUST((end->memory = calloc(depth + 1, message_bytes)) != NULL);
  MUST((end->mr = rdma_reg_msgs(id, end->memory, (depth + 1) * (size_t)message_bytes)) != NULL);
  for (unsigned slot = 0; slot < depth; ++slot) post_receive(end, slot);
  return 0;
}

static inline void open_endpoint(struct endpoint* end, struct rdma_cm_id* id) { MUST(try_open_endpoint(end, id) == 0); }

/* Also of one that never got its queue pair. */
static inline void close_endpoint(struct endpoint* end) {
  if (end->memory != NULL) {
    rdma_destroy_qp(end->id);
    rdma_dereg_mr(end->mr);
  }
  MUST(rdma_destroy_id(end->id) == 0);
  free(end->memory);
}

/* After a disconnect: every posted receive completes. Says with which status each did. */
static inline void say_flushed(struct endpoint* end) {
  struct ibv_wc completion;
  for (unsigned n = 0; n < depth;) {
    const int polled = ibv_poll_cq(end->id->recv_cq, 1, &completion);
    MUST(polled >= 0);
    if (polled == 0) continue;
    say("COMPLETION %s", completion.status == IBV_WC_WR_FLUSH_ERR ? "flushed" : ibv_wc_status_str(completion.status));
    ++n;
  }
}
