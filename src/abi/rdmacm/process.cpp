#include "abi/rdmacm/process.hpp"

#include <unistd.h>

namespace hawser::abi::rdmacm {

int fail_errno(int error) {
  errno = error;
  return -1;
}

// No mutex: another thread of the parent may have held it when the child was forked.
Process& Process::current() {
  static rt::Atomic<Process*> current{nullptr};
  const pid_t pid = ::getpid();
  Process* known = current.load();
  if (known != nullptr && known->pid_ == pid) return *known;
  auto* mine = new Process(pid);
  while (!current.compare_exchange_strong(known, mine)) {
    if (known->pid_ == pid) {
      delete mine;
      return *known;
    }
  }
  return *mine;
}

Result<ucm::Manager*> Process::ucm() {
  const auto made = stack::process_stack();
  if (!made) return fail(made.error());
  stack_.store(*made);
  rt::Lock lock(mutex_);
  if (ucm_ == nullptr) ucm_ = std::make_unique<ucm::Manager>((*made)->cma(), (*made)->dispatcher());
  return ucm_.get();
}

}  // namespace hawser::abi::rdmacm
