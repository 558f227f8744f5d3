#include "cma/refusal.hpp"

namespace hawser::cma {
namespace {

const char* text(Rule rule) {
  switch (rule) {
    case Rule::none: return "";
    case Rule::needs_idle: return "it may be bound once, in IDLE [spec 1.4]";
    case Rule::needs_bound: return "it must be bound and nothing else (IDLE binds it on the way) [spec 1.4]";
    case Rule::needs_address: return "the address must have been resolved (ADDR_RESOLVED) [spec 1.4]";
    case Rule::needs_route: return "the route must have been resolved (ROUTE_RESOLVED) [spec 1.4]";
    case Rule::needs_connect: return "there must be a connection to answer (CONNECT) [spec 1.4]";
    case Rule::needs_connection: return "it has no connection: connect() or a CONNECT_REQUEST gives it one [spec 1.4]";
    case Rule::needs_device: return "it is attached to no device: bind it to an address, or resolve one [spec 1.4]";
    case Rule::not_listening: return "ports may be shared only before listen, and given up only in IDLE [spec 1.14]";
    case Rule::idle_or_bound: return "allowed in IDLE and ADDR_BOUND only [spec 1.14]";
    case Rule::device_gone: return "its device has gone [spec 1.4]";
    case Rule::own_handler: return "the id's own handler would wait for itself: use connect_locked [spec 2.2]";
    case Rule::address_family: return "the address must be IPv4 or IPv6 [spec 1.4]";
    case Rule::family_differs: return "source and destination must be of one family [spec 1.4]";
    case Rule::address_not_ours: return "no interface of this host with an RDMA device has this address [spec 1.7]";
    case Rule::no_scope: return "a link-local address needs its interface (scope id) [spec 1.4]";
    case Rule::no_infiniband: return "no interface of this host is InfiniBand [spec 1.7]";
    case Rule::port_conflict: return "another id has this port, on this host or an overlapping address [spec 1.8]";
    case Rule::port_privileged: return "ports below 1024 need CAP_NET_BIND_SERVICE [spec 1.8]";
    case Rule::private_data_too_long:
      return "at most 56 bytes of private data in connect, 196 in accept, 148 in reject";
    case Rule::timeout_not_positive: return "the timeout must be positive [spec 1.4]";
    case Rule::wrong_qp_type: return "the id's queue pair type has no such option [spec 1.14]";
    case Rule::rnr_timer_range: return "the timer is a number from 0 to 31 [spec 1.14]";
    case Rule::ended: return "it has ended: it was destroyed, or its handler returned non-zero [spec 2.2]";
    case Rule::needs_handler_lock: return "allowed in the id's handler, or under its lock, only [spec 2.2]";
    case Rule::bound_or_resolved:
      return "it must be bound to an address of a device, or have resolved one (ADDR_BOUND, ADDR_RESOLVED) [spec 1.4]";
    case Rule::datagrams_only: return "only datagram ids (port space UDP) can be in a group [spec 1.4]";
    case Rule::no_group: return "the address is no multicast group's [spec 1.4]";
    case Rule::group_not_ipv4: return "RoCE carries groups of IPv4 only, as in the kernel [spec 1.4]";
    case Rule::group_refused: return "the interface could not join the group (stderr says why) [spec 1.13]";
    case Rule::no_membership: return "it has no such membership (any more) [spec 1.13]";
    case Rule::not_in_handler: return "the id's own handler would wait for itself: try when it has returned [spec 2.2]";
    case Rule::qkey_differs: return "its queue pair has another Q_Key [spec 1.10]";
    case Rule::datagram_data_too_long:
      return "at most 180 bytes of private data in connect of a datagram id, 136 in accept and reject";
    case Rule::no_subnet_admin: return "there is no subnet administrator on RoCE [spec 1.4]";
  }
  return "";
}

class Category final : public RefusalCategory {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "hawser.cma"; }

 private:
  [[nodiscard]] std::string situation(const Refusal& refusal) const override {
    return std::string(cma::name(static_cast<Entry>(refusal.operation))) + " on an id in " +
           cma::name(static_cast<State>(refusal.state));
  }
  [[nodiscard]] std::string rule(const Refusal& refusal) const override {
    return text(static_cast<Rule>(refusal.rule));
  }
};

}  // namespace

const RefusalCategory& refusal_category() {
  static const Category category;
  return category;
}

}  // namespace hawser::cma
