// A communication id while somebody needs it: its connection, or a timewait entry that outlives the connection.
// [spec 5.6.1]
#pragma once

#include "cm/manager.hpp"

namespace hawser::cm {

class CommIdLease {
 public:
  CommIdLease(CommIdSpace& space, CommId leased) : id(leased), space_(space) {}
  ~CommIdLease() { space_.release(id); }
  CommIdLease(const CommIdLease&) = delete;
  CommIdLease& operator=(const CommIdLease&) = delete;

  const CommId id;

 private:
  CommIdSpace& space_;
};

}  // namespace hawser::cm
