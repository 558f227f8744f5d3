// Ids of the C++ interface that end at any moment: from another thread while a handler runs, in their own handler, by a
// handler's word, connected or not. One Stack, several threads; a listener of its own answers.
//
//   cxx_churn ADDRESS PORT SEED [ROUNDS]
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "hawser/hawser.hpp"

namespace {

using namespace std::chrono_literals;
using hawser::CmEvent;
using hawser::CmEventType;
using hawser::errno_of;
using hawser::IdRef;

struct Queues {
  hawser::Pd pd;
  hawser::Cq cq;
};

// All ids of one device share them.
class Device {
 public:
  explicit Device(hawser::Stack& stack) : stack_(stack) {}
  hawser::Status give_qp(IdRef id) {
    const std::lock_guard lock(mutex_);
    if (!queues_.pd.impl()) {
      auto pd = hawser::Pd::create(stack_, id.device());
      if (!pd) return std::unexpected(pd.error());
      auto cq = hawser::Cq::create(stack_, id.device(), 4096);
      if (!cq) return std::unexpected(cq.error());
      queues_ = {*pd, *cq};
    }
    const auto qp = id.create_qp(queues_.pd, {.send_cq = queues_.cq, .recv_cq = queues_.cq});
    if (!qp) return std::unexpected(qp.error());
    return {};
  }

 private:
  hawser::Stack& stack_;
  std::mutex mutex_;
  Queues queues_;
};

// Keeps the accepted ids until their peers go.
class Server {
 public:
  Server(hawser::Stack& stack, Device& device, const hawser::SocketAddress& address) : device_(device) {
    auto made =
        hawser::Listener::listen(stack, address, [this](IdRef id, CmEvent& event) { return handle(id, event); });
    if (!made) {
      std::cerr << made.error().message() << std::endl;
      std::exit(1);
    }
    listener_ = std::move(*made);
  }
  ~Server() {
    listener_.reset();
    std::vector<std::unique_ptr<hawser::Id>> last;
    {
      const std::lock_guard lock(mutex_);
      last.swap(ids_);
    }
  }

 private:
  int handle(IdRef id, CmEvent& event) {
    if (event.type == CmEventType::connect_request) {
      if (const auto given = device_.give_qp(id); !given) return -errno_of(given);
      if (const auto accepted = id.accept({}); !accepted) return -errno_of(accepted);
      const std::lock_guard lock(mutex_);
      ids_.push_back(std::make_unique<hawser::Id>(event.take_id()));
      return 0;
    }
    if (event.type == CmEventType::established) return 0;
    // Its own end, in its own handler.
    const std::lock_guard lock(mutex_);
    std::erase_if(ids_, [&](const auto& kept) { return static_cast<const IdRef&>(*kept) == id; });
    return 0;
  }

  Device& device_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<hawser::Id>> ids_;
  std::optional<hawser::Listener> listener_;
};

std::atomic<int> established{0}, ended_by_handler{0};

// One id, which ends at a moment that `chance` chooses.
void churn(hawser::Stack& stack, Device& device, const hawser::SocketAddress& to, std::mt19937_64& chance) {
  const auto last_event = static_cast<int>(chance() % 6);  // 5: no event ends it
  const bool by_result = chance() % 2 == 0;
  const auto patience = chance() % 20'000;
  std::atomic<bool> over{false};
  int events = 0;
  hawser::Id id;
  auto made = stack.create_id([&](IdRef self, CmEvent& event) {
    int result = 0;
    if (event.type == CmEventType::addr_resolved) result = -errno_of(self.resolve_route(2s));
    if (event.type == CmEventType::route_resolved) {
      const auto given = device.give_qp(self);
      result = -errno_of(given ? self.connect_locked({}) : given);
    }
    if (event.type == CmEventType::established) ++established;
    if (event.type == CmEventType::rejected || event.type == CmEventType::unreachable) over = true;
    if (events++ == last_event && by_result) result = -1;
    if (result != 0) {
      ++ended_by_handler;
      over = true;
    }
    return result;
  });
  if (!made) std::exit(1);
  id = std::move(*made);
  if (!id.resolve_addr(nullptr, to, 2s)) std::exit(1);
  for (std::uint64_t i = 0; i < patience && !over; ++i) std::this_thread::yield();
  id.destroy();  // waits for a handler that runs; what it captured goes afterwards
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  hawser::SocketAddress address;
  address.family = hawser::Family::inet;
  address.ip = *hawser::IpAddress::parse(argv[1]);
  address.port = static_cast<std::uint16_t>(std::stoul(argv[2]));
  const std::uint64_t seed = std::stoull(argv[3]);
  const int rounds = argc > 4 ? std::stoi(argv[4]) : 100;
  std::cout << "seed " << seed << std::endl;
  auto stack = hawser::Stack::with_agent();
  if (!stack) return 1;
  {
    Device device(*stack);
    Server server(*stack, device, address);
    std::vector<std::thread> threads;
    for (std::uint64_t thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&, thread] {
        std::mt19937_64 chance(seed * 4 + thread);
        for (int round = 0; round < rounds; ++round) churn(*stack, device, address, chance);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  std::cout << "established " << established << ", ended by their handlers " << ended_by_handler << std::endl;
}
