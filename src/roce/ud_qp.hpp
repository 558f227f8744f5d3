// The unreliable datagram protocol of one queue pair (IBTA chapter 9.8.3), over RoCEv2: each SEND is one packet, to
// where its address handle says. Sans I/O like RcQp, and threaded like it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/ip.hpp"
#include "base/types.hpp"
#include "fabric/fabric.hpp"
#include "roce/packet.hpp"
#include "roce/qp_host.hpp"
#include "roce/work.hpp"
#include "runtime/time.hpp"

namespace hawser::roce {

class UdHost : public QpHost {
 public:
  // A receive whose memory is too small for the datagram that came. True: it is the next one again. False: it was a
  // shared queue's and cannot go back.
  virtual bool put_back(RecvWork&& receive) = 0;
  // A send is longer than the port's MTU: nothing is sent, and no error is made of it (IBTA C10-93.1.1).
  virtual void send_too_long(std::uint64_t bytes) = 0;
  // A send failed: later sends are flushed until the owner says running() again, receives go on (IBTA 10.3.1, SQE).
  virtual void send_failed() = 0;
  // A receive named memory that is not the program's to write: the owner moves the QP to ERR and flushes.
  virtual void receive_failed() = 0;
};

struct UdAttributes {
  QKey qkey;
  Mtu mtu{Mtu::mtu_1024};  // of the port: no message is longer
  PKey pkey{pkey_default};
  Qpn local_qpn;
};

class UdQp {
 public:
  enum class Received : std::uint8_t { taken, wrong_transport, bad_qkey, no_receive, too_long };

  explicit UdQp(UdHost& host) : host_(host) {}

  // The owner's state machine. Sends are transmitted while running, held while draining, flushed after a failure.
  void reset();
  void ready_to_receive(const UdAttributes& attributes);
  void ready_to_send(const UdAttributes& attributes, Psn first);
  void update(const UdAttributes& attributes);
  void drain_sends();   // RTS → SQD
  void resume_sends();  // SQD or SQE → RTS
  // Completes held sends with wr_flush_err. From now on packets are ignored and sends flushed.
  void flush();

  // Whether a work request can be a datagram at all: a SEND, with or without immediate data, that has an address.
  [[nodiscard]] static bool acceptable(const SendWork& work);
  void post_send(SendWork&& work);
  [[nodiscard]] std::size_t sends_outstanding() const { return held_.size(); }

  // A packet whose ICRC and P_Key are verified and that is for this QP, or for a group that it is attached to.
  Received on_packet(const Packet& packet, const fabric::InDatagram& datagram);

  // There are no timers and no acknowledgements.
  void on_time(rt::Time) {}
  [[nodiscard]] static rt::Time next_deadline() { return rt::time_never; }
  void flush_acks() {}

  [[nodiscard]] Psn send_psn() const { return psn_; }
  [[nodiscard]] static Psn receive_psn() { return {}; }

 private:
  enum class Sending : std::uint8_t { stopped, running, draining, failed };

  void execute(SendWork&& work);
  [[nodiscard]] bool transmit(const SendWork& work, std::uint64_t length);
  void complete_send(const SendWork& work, WcStatus status);

  UdHost& host_;
  UdAttributes attributes_;
  Sending sending_ = Sending::stopped;
  bool receiving_ = false;
  Psn psn_;
  std::vector<SendWork> held_;
  // Only for hosts that hand out no buffers.
  std::unique_ptr<std::array<std::byte, fabric::datagram_bytes_max>> own_buffer_;
};

}  // namespace hawser::roce
