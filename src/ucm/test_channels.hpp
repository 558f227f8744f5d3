// For tests: a Manager over the connection manager of ucm/fake, and two event channels.
#pragma once

#include <deque>
#include <memory>
#include <utility>

#include <gtest/gtest.h>

#include "cma/manager.hpp"
#include "runtime/sync.hpp"
#include "ucm/manager.hpp"

namespace hawser::ucm {

struct Level : Notifier {
  explicit Level(rt::Atomic<bool>& out) : pending(out) {}
  void set_pending(bool now) override {
    EXPECT_NE(pending.load(), now) << "told without a change";
    pending = now;
  }
  rt::Atomic<bool>& pending;
};

class UcmTest : public testing::Test {
 protected:
  FilePtr new_file() { return std::make_shared<File>(std::make_unique<Level>(pending_.emplace_back(false))); }
  // An id on `file_` and what the connection manager has for it.
  std::pair<Handle, cma::Id*> new_id(std::uint64_t uid) {
    const auto id = ucm_.create_id(file_, uid, cma::PortSpace::tcp, cma::QpType::none);
    EXPECT_TRUE(id.has_value());
    cma_.last().current_route.device = cma::Manager::device();
    return {*id, &cma_.last()};
  }
  std::pair<Handle, cma::Id*> new_listener(std::uint64_t uid, int backlog) {
    const auto listener = new_id(uid);
    EXPECT_TRUE(ucm_.listen(*file_, listener.first, backlog));
    return listener;
  }
  void TearDown() override {
    for (const FilePtr& file : {file_, other_}) ucm_.close(*file);
  }

  std::deque<rt::Atomic<bool>> pending_;
  std::unique_ptr<rt::World> world_ = rt::World::simulated(7);
  rt::Dispatcher dispatcher_{*world_};
  cma::Manager cma_;
  Manager ucm_{cma_, dispatcher_};
  FilePtr file_ = new_file();
  FilePtr other_ = new_file();
};

}  // namespace hawser::ucm
