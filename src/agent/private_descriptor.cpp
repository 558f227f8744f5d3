#include "agent/private_descriptor.hpp"

#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>

namespace hawser::agent {
namespace {

// Atomics and not a lock: the child of a fork() in another thread could find a lock taken for ever. 0 is a free entry,
// else descriptor + 1. A full list only means that a child keeps a descriptor.
std::array<std::atomic<int>, 256> listed{};

void close_in_child() {
  for (auto& entry : listed) {
    if (const int value = entry.exchange(0); value != 0) close(value - 1);
  }
}

int enlist(int fd) {
  [[maybe_unused]] static const int registered = pthread_atfork(nullptr, nullptr, close_in_child);
  for (std::size_t i = 0; i < listed.size(); ++i) {
    int free = 0;
    if (listed[i].compare_exchange_strong(free, fd + 1)) return static_cast<int>(i);
  }
  return -1;
}

}  // namespace

void PrivateDescriptor::set(Descriptor descriptor) {
  reset();
  fd_ = descriptor.release();
  owner_ = getpid();
  if (fd_ >= 0) entry_ = enlist(fd_);
}

bool PrivateDescriptor::is_ours() const { return fd_ >= 0 && owner_ == getpid(); }

void PrivateDescriptor::reset() {
  if (is_ours()) {
    if (entry_ >= 0) listed[static_cast<std::size_t>(entry_)] = 0;
    close(fd_);
  }
  fd_ = -1;
  entry_ = -1;
}

}  // namespace hawser::agent
