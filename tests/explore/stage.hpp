// Two hosts, and ids brought to a given point of their lives: where a scenario of pairs begins. Setting the stage and
// clearing it happen in one fixed order; what lies between is explored.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "party.hpp"
#include "situation.hpp"

namespace hawser::scenarios {

inline constexpr std::uint16_t service_port = 7471;
inline constexpr rt::Duration query_timeout = std::chrono::seconds(2);
inline const Gid stage_group = IpAddress::v4(0xEF010101);  // 239.1.1.1

class Stage {
 public:
  // `policy` decides what the handler of the id in question does.
  Stage(rt::explore::Execution& execution, Situation situation, Party::Policy policy = {});
  void spawn(std::string name, std::function<void()> body);
  void join();
  // Lets everything happen that is on its way.
  void calm_down();
  // Ends every id, lets all timers pass, and checks that nothing is left and that each end was told.
  void clear();

  Party& make(Host& host, const Party::Policy& policy, const Party::Policy& children);
  // A client on the far host, one step from connecting.
  [[nodiscard]] Party& ready_client();
  [[nodiscard]] bool datagrams() const { return scenarios::datagrams(situation_); }

  rt::explore::Execution& execution;

 private:
  fabric::SimNetwork network_;

 public:
  Host near, far;     // the id in question is near
  Party* subject{};   // the id in question
  Party* peer{};      // the id at the other end, if there is one; or the one that shares its port
  Party* caller{};    // of a listener, or of a child's: a client that is about to connect
  Party* listener{};  // of a child
  Party* third{};     // that would like to share the port
  verbs::InterfaceSnapshot interface;
  // What a host says may not reach the other one.
  Note<bool> cut_off, peer_cut_off;

 private:
  void ask_subnet();
  void lead_client();
  void lead_served();
  void lead_connection();
  void lead_member();
  void lead_shared();
  [[nodiscard]] Party& sharer();
  void lead_listener();
  void lead_child();
  void bind(Party& party, const SocketAddress& address);
  void resolve_addr(Party& party, const IpAddress& to);
  void resolve_route(Party& party);
  Party& listen_on(Host& host, const Party::Policy& children);
  void connect(Party& client, Party& listener);
  void accept(Party& child);
  void accept_response(Party& client);
  void disconnect(Party& first, Party& second);

  [[nodiscard]] Party* party(std::size_t number);
  void check_port();
  void check_told(const Party& party);
  void check_peer_told();
  void end_others();
  void check_clear();

  const Situation situation_;
  const Party::Policy policy_, quiet_;
  std::deque<Party> parties_;
  std::vector<rt::ThreadId> fibers_;
  std::weak_ptr<verbs::Device> device_;
};

}  // namespace hawser::scenarios
