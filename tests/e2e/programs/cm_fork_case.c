/* cm_fork_case CASE ADDRESS PORT: one row of docs/fork.md. The process that goes on connects and says "connected";
 * commands: disconnect (and end), exit (without a word to anybody). */
#include <pthread.h>
#include <sys/wait.h>

#include "program.h"

static struct rdma_event_channel* channel;
static struct endpoint end;
static struct sockaddr_storage address;

static void expect(enum rdma_cm_event_type wanted) {
  struct rdma_cm_event* event;
  MUST(rdma_get_cm_event(channel, &event) == 0);
  if (event->event != wanted) say_event(event);
  MUST(event->event == wanted && rdma_ack_cm_event(event) == 0);
}

static void make(void) {
  MUST((channel = rdma_create_event_channel()) != NULL);
  MUST(rdma_create_id(channel, &end.id, &end, RDMA_PS_TCP) == 0);
}

static void connect_now(void) {
  struct rdma_conn_param param = {.retry_count = 7, .rnr_retry_count = 7};
  make();
  MUST(rdma_resolve_addr(end.id, NULL, (struct sockaddr*)&address, 5000) == 0);
  expect(RDMA_CM_EVENT_ADDR_RESOLVED);
  MUST(rdma_resolve_route(end.id, 5000) == 0);
  expect(RDMA_CM_EVENT_ROUTE_RESOLVED);
  open_endpoint(&end, end.id);
  MUST(rdma_connect(end.id, &param) == 0);
  expect(RDMA_CM_EVENT_ESTABLISHED);
  say("connected");
}

static void obey(void) {
  char command[64];
  MUST(read_command(command, sizeof command));
  if (strcmp(command, "exit") == 0) _exit(0);
  MUST(rdma_disconnect(end.id) == 0);
  expect(RDMA_CM_EVENT_DISCONNECTED);
  close_endpoint(&end);
  rdma_destroy_event_channel(channel);
}

static pid_t forked(void) {
  const pid_t pid = fork();
  MUST(pid >= 0);
  return pid;
}

/* The child lives, with every descriptor that it inherited, until its standard input says so. */
static void untouched(void) {
  connect_now();
  const pid_t child = forked();
  if (child == 0) {
    execlp("true", "true", NULL);
    _exit(1);
  }
  int status = 0;
  MUST(waitpid(child, &status, 0) == child && status == 0);
  obey();
}

static void parent_exits(void) {
  connect_now();
  if (forked() != 0) _exit(0);
  say("child goes on");
  connect_now();
  obey();
}

static void silent_child_outlives(void) {
  connect_now();
  if (forked() != 0) _exit(0);
  char command[64];
  (void)read_command(command, sizeof command);
}

static void both_use(void) {
  connect_now();
  const pid_t child = forked();
  if (child == 0) {
    struct ibv_qp_init_attr attributes = {.qp_type = IBV_QPT_RC};
    struct rdma_cm_event* event;
    said_ok("disconnect", rdma_disconnect(end.id));
    said_ok("create_qp", rdma_create_qp(end.id, NULL, &attributes));
    said_ok("get_cm_event", rdma_get_cm_event(channel, &event));
    said_ok("migrate_id", rdma_migrate_id(end.id, NULL));
    said_ok("create_id on the channel", rdma_create_id(channel, &end.id, NULL, RDMA_PS_TCP));
    said_ok("destroy_id", rdma_destroy_id(end.id));
    rdma_destroy_event_channel(channel);
    _exit(0);
  }
  int status = 0;
  MUST(waitpid(child, &status, 0) == child && status == 0);
  obey();
}

static void daemon_first(void) {
  MUST(daemon(1, 1) == 0);
  connect_now();
  obey();
}

static void daemon_later(void) {
  make();
  MUST(rdma_bind_addr(end.id, (struct sockaddr*)&(struct sockaddr_in){.sin_family = AF_INET}) == 0);
  MUST(daemon(1, 1) == 0);
  said_ok("resolve_addr of an id from before", rdma_resolve_addr(end.id, NULL, (struct sockaddr*)&address, 1000));
  connect_now();
  obey();
}

static volatile int stop;
static void* make_ids(void* unused) {
  while (!stop) {
    struct rdma_event_channel* c = rdma_create_event_channel();
    struct rdma_cm_id* id;
    MUST(c != NULL && rdma_create_id(c, &id, NULL, RDMA_PS_TCP) == 0);
    MUST(rdma_bind_addr(id, (struct sockaddr*)&(struct sockaddr_in){.sin_family = AF_INET}) == 0);
    MUST(rdma_destroy_id(id) == 0);
    rdma_destroy_event_channel(c);
  }
  return unused;
}

static void busy(void) {
  pthread_t thread;
  MUST(pthread_create(&thread, NULL, make_ids, NULL) == 0);
  for (int i = 0; i < 20; ++i) {
    const pid_t child = forked();
    if (child == 0) {
      make();
      MUST(rdma_bind_addr(end.id, (struct sockaddr*)&(struct sockaddr_in){.sin_family = AF_INET}) == 0);
      MUST(rdma_destroy_id(end.id) == 0);
      _exit(0);
    }
    int status = 0;
    MUST(waitpid(child, &status, 0) == child && status == 0);
  }
  stop = 1;
  MUST(pthread_join(thread, NULL) == 0);
  connect_now();
  obey();
}

int main(int argc, char** argv) {
  static const struct {
    const char* name;
    void (*run)(void);
  } cases[] = {{"untouched", untouched},
               {"parent-exits", parent_exits},
               {"silent-child", silent_child_outlives},
               {"both-use", both_use},
               {"daemon-first", daemon_first},
               {"daemon-later", daemon_later},
               {"busy", busy}};
  if (argc < 4) return 1;
  address = parse_address(argv[2], argv[3]);
  for (unsigned i = 0; i < sizeof cases / sizeof *cases; ++i) {
    if (strcmp(argv[1], cases[i].name) != 0) continue;
    cases[i].run();
    say("done");
    return 0;
  }
  return 1;
}
