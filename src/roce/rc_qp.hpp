// The reliable-connection protocol of one queue pair: requester and responder of IBTA chapter 9.7, over RoCEv2.
// Sans I/O: it is handed packets and the time, and calls back through RcHost; it knows no socket, thread or clock.
//
// Not thread-safe: the owner's lock (verbs::Qp) is held around every call, and RcHost's functions are called under it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/ip.hpp"
#include "base/result.hpp"
#include "base/types.hpp"
#include "fabric/fabric.hpp"
#include "roce/packet.hpp"
#include "roce/qp_host.hpp"
#include "roce/work.hpp"
#include "runtime/time.hpp"

namespace hawser::roce {

// What is known of the process at the other end (DESIGN 1).
enum class PeerActivity : std::uint8_t {
  running,  // or on another host, or dead: a timeout costs a retry
  unknown,  // the answer is on its way: the first timeout without progress costs none
  stopped,  // alive, but does not run (SIGSTOP, a debugger): it will find what was sent, so nothing is sent again
};

// Why the responder refused its peer's request (IBTA 9.9.3).
enum class ResponderError : std::uint8_t {
  invalid_request,   // its form, its length, or a right that the queue pair does not give
  access_violation,  // key, range or rights of the memory that it names
};

class RcHost : public QpHost {
 public:
  // As local_memory(), for what the peer names.
  virtual std::byte* remote_memory(RKey key, std::uint64_t addr, std::uint32_t length, std::uint32_t access_flags) = 0;
  // SEND with Invalidate. False if the key may not be invalidated by this peer.
  virtual bool invalidate(RKey key) = 0;
  // The responder has taken its first valid request (async event COMM_EST; also establishes the CM connection).
  virtual void communication_established() = 0;
  // The engine has put itself into the error state (local error, retries exhausted, remote error …): the owner moves
  // the QP to ERR and flushes with RcQp::flush(). `untold` when no completion tells it: an affiliated asynchronous
  // error does (IBTA 11.6.3.2).
  virtual void entered_error(std::optional<ResponderError> untold) = 0;
  [[nodiscard]] virtual rt::Time now() const = 0;
  // Asked when a timeout has run out. Must not block.
  [[nodiscard]] virtual PeerActivity peer_activity() const { return PeerActivity::running; }
};

class Outbox;

// Attributes as modify-QP gives them, in IBTA's encodings.
struct RcAttributes {
  Gid local, remote;          // addresses of the two ends
  std::uint32_t interface{};  // index; for link-local addresses
  std::uint8_t traffic_class{}, hop_limit{64};
  Mtu path_mtu{Mtu::mtu_1024};
  PKey pkey{pkey_default};
  Qpn local_qpn, remote_qpn;
  Psn receive_psn;                          // RTR
  std::uint8_t max_dest_rd_atomic{};        // RTR: READs and atomics it answers at once
  std::uint8_t min_rnr_timer{};             // RTR: IBTA table 45; 0 = 655.36 ms
  Psn send_psn;                             // RTS
  std::uint8_t max_rd_atomic{};             // RTS: READs and atomics outstanding
  std::uint8_t timeout{};                   // RTS: 4.096 µs · 2^timeout; 0 = never
  std::uint8_t retry_count{}, rnr_retry{};  // RTS; rnr_retry 7 = for ever
  std::uint32_t remote_access{};            // access:: flags that the peer may use on this QP
};

struct RcLimits {
  // In-flight cap: bytes not acknowledged. Shrinks on loss down to one packet, grows back (DESIGN 2, small buffers).
  std::uint32_t in_flight_bytes_max{64 * 1024};
  // The acknowledge timeout is never below this, whatever `timeout` says (DESIGN 1: a starved peer must not break).
  rt::Duration ack_timeout_min{std::chrono::milliseconds(20)};
  // Retries make it longer, but not beyond this: with short timeouts the retries of a QP would all be over while the
  // peer's machine stands still for a moment, and with long ones nobody wants to wait longer for the end.
  rt::Duration ack_timeout_retried_max{std::chrono::milliseconds(500)};
};

struct RcCounters {
  std::uint64_t retransmits{}, timeouts{}, naks_sent{}, naks_received{}, rnr_naks_sent{}, rnr_naks_received{},
      duplicates{}, out_of_sequence{}, acks_coalesced{};
};

class RcQp {
 public:
  RcQp(RcHost& host, RcLimits limits);
  ~RcQp();
  RcQp(const RcQp&) = delete;
  RcQp& operator=(const RcQp&) = delete;

  // State changes as the QP state machine orders them; the owner has checked that they are legal.
  void reset();
  void ready_to_receive(const RcAttributes& attributes);  // responder runs
  void ready_to_send(const RcAttributes& attributes);     // requester runs
  void update(const RcAttributes& attributes);            // RTS → RTS, SQD → SQD: all but the PSNs
  void drain_sends();                                     // RTS → SQD
  void resume_sends();                                    // SQD → RTS, after update() if attributes change
  // Completes every outstanding send with wr_flush_err, and the receive in progress; the receive queue itself is the
  // owner's. From now on packets are ignored.
  void flush();

  // Valid in RTS, SQD and (flushed at once by the owner) ERR.
  void post_send(SendWork&& work);
  [[nodiscard]] std::size_t sends_outstanding() const;

  // A packet whose ICRC, P_Key and destination QPN are verified. Packets from other addresses than the remote one are
  // dropped here.
  void on_packet(const Packet& packet, const IpAddress& source);
  // Call at or after next_deadline().
  void on_time(rt::Time now);
  [[nodiscard]] rt::Time next_deadline() const;  // time_never when no timer runs
  // Acknowledgements that are owed but held back for coalescing are sent; the owner calls it when its batch is over.
  void flush_acks();

  [[nodiscard]] const RcCounters& counters() const;
  [[nodiscard]] Psn send_psn() const;
  [[nodiscard]] Psn receive_psn() const;

 private:
  class Requester;
  class Responder;
  RcAttributes attributes_;
  RcCounters counters_;
  std::unique_ptr<Outbox> outbox_;
  std::unique_ptr<Requester> requester_;
  std::unique_ptr<Responder> responder_;
};

}  // namespace hawser::roce
