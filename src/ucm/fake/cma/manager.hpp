// Stands in for cma/manager.hpp when ucm is compiled into its unit test: it knows which ids are alive.
#pragma once

#include <vector>

#include "cma/id.hpp"

namespace hawser::cma {

class Manager {
 public:
  Manager() { current = this; }
  ~Manager();  // every id must be gone
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;

  // What ucm uses.
  [[nodiscard]] Id* create_id(PortSpace space, QpType qp_type, Handler handler, void* context);
  void destroy_id(Id* id);

  // What the test uses.
  [[nodiscard]] std::vector<Id*> ids();  // alive, in order of creation
  [[nodiscard]] Id& last() { return *ids().back(); }
  static verbs::DevicePtr device();
  static Manager* current;  // that of the test which runs

 private:
  friend class Id;
  Id* add(Id* id);
  void remove(Id* id);

  rt::Mutex mutex_{rt::LockRank::state};
  std::vector<Id*> ids_ HW_GUARDED_BY(mutex_);
};

}  // namespace hawser::cma
