// A descriptor that a forked child does not keep: it would hold the UDP port, and the agent's attention, for a process
// that uses none of it.
#pragma once

#include "agent/descriptor.hpp"

namespace hawser::agent {

// Not thread-safe; the child's handler of fork() may run at any moment of any other thread.
class PrivateDescriptor {
 public:
  PrivateDescriptor() = default;
  ~PrivateDescriptor() { reset(); }
  PrivateDescriptor(const PrivateDescriptor&) = delete;
  PrivateDescriptor& operator=(const PrivateDescriptor&) = delete;

  void set(Descriptor descriptor);
  // Closes it, unless this is a child of the process that set it: there it is closed already.
  void reset();
  [[nodiscard]] int get() const { return fd_; }
  // False if there is none, and in a child of the process that set it.
  [[nodiscard]] bool is_ours() const;

 private:
  int fd_ = -1;
  int entry_ = -1;  // in the list that the handler of fork() walks
  int owner_ = 0;   // pid
};

}  // namespace hawser::agent
