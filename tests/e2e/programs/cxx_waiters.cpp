// What several threads may wait for at one time. Prints a line for each thing that came to its end.
//
//   cxx_waiters ADDRESS PORT
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <mutex>
#include <source_location>
#include <string>
#include <thread>

#include "hawser/hawser.hpp"

namespace {

using namespace std::chrono_literals;
using hawser::CmEvent;
using hawser::CmEventType;
using hawser::IdRef;

template <class Value>
Value need(hawser::Result<Value> result, std::source_location where = std::source_location::current()) {
  if (result) return std::move(*result);
  std::cerr << "line " << where.line() << ": " << result.error().message() << std::endl;
  std::exit(1);
}
void need(const hawser::Status& status, std::source_location where = std::source_location::current()) {
  if (status) return;
  std::cerr << "line " << where.line() << ": " << status.error().message() << std::endl;
  std::exit(1);
}

struct End {
  End(hawser::Stack& stack, IdRef id)
      : pd(need(hawser::Pd::create(stack, id.device()))),
        cq(need(hawser::Cq::create(stack, id.device(), 64))),
        mr(need(pd.register_memory(memory, hawser::Access::local_write))),
        qp(need(id.create_qp(pd, {.send_cq = cq, .recv_cq = cq}))) {}
  std::array<std::byte, 64> memory{};
  hawser::Pd pd;
  hawser::Cq cq;
  hawser::Mr mr;
  hawser::Qp qp;
};

// Sleeps, as far as the kernel knows.
void wait_until_asleep(const std::atomic<long>& thread) {
  for (std::string state; state != "S"; std::this_thread::yield()) {
    if (thread == 0) continue;
    std::ifstream stat("/proc/self/task/" + std::to_string(thread.load()) + "/stat");
    std::string skipped;
    stat >> skipped >> skipped >> state;
  }
}

// Each completion wakes one of those who wait for one, whoever else it has woken for nothing.
void wait_for_completions(hawser::Stack& stack, const hawser::SocketAddress& address) {
  auto channel = need(hawser::EventChannel::create(stack));
  auto listener = need(channel.create_id());
  need(listener.bind_addr(address));
  need(listener.listen(1));
  auto client = need(channel.create_id());
  need(client.resolve_addr(nullptr, address, 2s));
  need(channel.get_event());
  need(client.resolve_route(2s));
  need(channel.get_event());
  End from(stack, client);
  need(client.connect({}));
  auto request = need(channel.get_event());
  hawser::Id server = request.take_id();
  End to(stack, server);
  need(server.accept({}));
  need(channel.get_event());
  for (int round = 0; round < 200; ++round) {
    std::atomic<int> received{0};
    std::array<std::atomic<long>, 2> ids{};
    std::array<std::thread, 2> waiters;
    for (std::size_t i = 0; i < waiters.size(); ++i) {
      waiters[i] = std::thread([&, i] {
        ids[i] = ::syscall(SYS_gettid);
        std::array<hawser::Completion, 1> one;
        need(to.cq.wait(one));
        ++received;
      });
    }
    for (const auto& id : ids) wait_until_asleep(id);
    for (int sent = 1; sent <= 2; ++sent) {
      need(to.qp.post_receive(1, to.mr.slice(0, 8)));
      need(from.qp.post_send(2, from.mr.slice(0, 8)));
      while (received < sent) std::this_thread::yield();
      std::array<hawser::Completion, 1> own;
      need(from.cq.wait(own));
    }
    for (std::thread& waiter : waiters) waiter.join();
  }
  std::cout << "two threads wait for completions: ok" << std::endl;
}

// A thread that waits for events runs no handlers of ids that come meanwhile: it may hold what they want.
void wait_beside_handlers(hawser::Stack& stack, const hawser::SocketAddress& address) {
  auto channel = need(hawser::EventChannel::create(stack));
  auto of_channel = need(channel.create_id());
  std::mutex mutex;
  std::atomic<long> waiter_id{0};
  std::atomic<bool> entered{false}, told{false};
  std::thread waiter([&] {
    const std::lock_guard lock(mutex);
    waiter_id = ::syscall(SYS_gettid);
    need(channel.get_event());
  });
  wait_until_asleep(waiter_id);
  auto handled = need(stack.create_id([&](IdRef, CmEvent&) {
    entered = true;
    const std::lock_guard lock(mutex);
    told = true;
    return 0;
  }));
  need(handled.resolve_addr(nullptr, address, 2s));
  while (!entered) std::this_thread::yield();
  need(channel.write_cm_event(of_channel, CmEventType::user));
  waiter.join();
  while (!told) std::this_thread::yield();
  std::cout << "a thread waits for events beside handlers: ok" << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  hawser::SocketAddress address;
  address.family = hawser::Family::inet;
  address.ip = *hawser::IpAddress::parse(argv[1]);
  address.port = static_cast<std::uint16_t>(std::stoul(argv[2]));
  auto stack = need(hawser::Stack::with_agent());
  wait_for_completions(stack, address);
  wait_beside_handlers(stack, address);
}
