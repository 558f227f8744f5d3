// Holds an id's handler_mutex for a scope: no handler of the id runs meanwhile.
#pragma once

#include "cma/id.hpp"

namespace hawser::ucm {

class HW_SCOPED_CAPABILITY HandlerLock {
 public:
  explicit HandlerLock(cma::Id& id) HW_ACQUIRE(id.handler_mutex()) : id_(id) { id.lock_handler(); }
  ~HandlerLock() HW_RELEASE() { id_.unlock_handler(); }
  HandlerLock(const HandlerLock&) = delete;
  HandlerLock& operator=(const HandlerLock&) = delete;

 private:
  cma::Id& id_;
};

}  // namespace hawser::ucm
