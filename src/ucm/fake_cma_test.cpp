// Bodies of ucm/fake/cma: the connection manager that ucm's unit test puts beneath it.
#include <algorithm>

#include <gtest/gtest.h>

#include "cma/manager.hpp"

namespace hawser::cma {

void Id::set_handler(Handler handle, void* user) {
  handler = std::move(handle);
  user_context = user;
}

Status Id::connect(const ConnParam& param) {
  last_param = param;
  return enter("connect");
}

Status Id::accept(const ConnParam* param) {
  handler_mutex_.assert_held();  // [spec 1.4]
  if (param != nullptr) last_param = *param;
  return enter(param != nullptr ? "accept" : "accept response");
}

Status Id::reject(std::uint16_t reason, std::span<const std::byte>) {
  last_reason = reason;
  return enter("reject");
}

Result<cm::QpAttributes> Id::qp_attributes(cm::QpTarget) {
  if (const Status entered = enter("qp_attributes"); !entered) return fail(entered.error());
  return cm::QpAttributes{};
}

// Entry points of one id never run in parallel: ucm has to see to it [spec 2.2.1].
Status Id::enter(const std::string& call) {
  EXPECT_FALSE(entered_.exchange(true)) << call << " entered during another call";
  calls.push_back(call);
  if (on_entry) on_entry(call);
  entered_.store(false);
  return error == 0 ? Status() : fail(error);
}

int Id::deliver(EventType type, int status) {
  Event event;
  event.type = type;
  event.status = status;
  return deliver(event);
}

int Id::deliver(const Event& event) {
  rt::Lock lock(handler_mutex_);
  if (on_event) on_event();
  return handler(*this, event);
}

// The child's handler_mutex is taken under the listener's, through pointers that clang's analysis does not know for
// one.
Id* Id::deliver_request(int* answer) HW_NO_THREAD_SAFETY_ANALYSIS {
  Event request;
  request.type = EventType::connect_request;
  handler_mutex_.lock();
  Id* child = Manager::current->add(new Id(port_space, qp_type, handler, user_context));
  child->current_route.device = Manager::device();
  child->handler_mutex_.lock_nested();
  const Handler handle = child->handler;  // which may replace it
  const int result = handle(*child, request);
  if (result == 0) {
    EXPECT_NE(child->user_context, user_context) << "the child points at its listener [spec 4 #43]";
  }
  child->handler_mutex_.unlock();
  handler_mutex_.unlock();
  if (answer != nullptr) *answer = result;
  if (result == 0) return child;
  Manager::current->remove(child);
  delete child;
  return nullptr;
}

Manager* Manager::current = nullptr;

Manager::~Manager() {
  EXPECT_TRUE(ids().empty()) << "ids left";
  current = nullptr;
}

Id* Manager::create_id(PortSpace space, QpType qp_type, Handler handler, void* context) {
  return add(new Id(space, qp_type, std::move(handler), context));
}

void Manager::destroy_id(Id* id) {
  remove(id);
  id->lock_handler();  // waits for its handler
  id->unlock_handler();
  delete id;
}

std::vector<Id*> Manager::ids() {
  rt::Lock lock(mutex_);
  return ids_;
}

verbs::DevicePtr Manager::device() {
  verbs::InterfaceSnapshot interface;
  interface.index = 1;
  interface.name = "fake0";
  interface.mtu_bytes = 1500;
  return std::make_shared<verbs::Device>("hw_fake0", Guid(1), interface);
}

Id* Manager::add(Id* id) {
  rt::Lock lock(mutex_);
  ids_.push_back(id);
  return id;
}

void Manager::remove(Id* id) {
  rt::Lock lock(mutex_);
  const auto found = std::ranges::find(ids_, id);
  ASSERT_NE(found, ids_.end()) << "destroyed twice";
  ids_.erase(found);
}

}  // namespace hawser::cma
