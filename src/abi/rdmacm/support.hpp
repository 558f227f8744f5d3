// What several calls of this library have in common.
#pragma once

#include <mutex>

#include "abi/rdmacm/objects.hpp"
#include "abi/rdmacm/process.hpp"

namespace hawser::abi::rdmacm {

// A call on an id that proved to be ours, which it has for itself (CmId::own) until it ends or waits.
struct Call {
  Call(std::shared_ptr<CmId> called, ucm::Manager* manager) : id(std::move(called)), ucm(manager), own(id->own) {}
  // Of an id that nobody else knows yet.
  Call(std::shared_ptr<CmId> unknown, ucm::Manager* manager, std::defer_lock_t unlocked)
      : id(std::move(unknown)), ucm(manager), own(id->own, unlocked) {}
  std::shared_ptr<CmId> id;
  ucm::Manager* ucm;
  std::unique_lock<rt::Mutex> own;
  // What the user command `command` answers to the id.
  template <class Answer, class... Arguments>
  Answer run(Answer (ucm::Manager::*command)(ucm::File&, ucm::Handle, Arguments...),
             std::type_identity_t<Arguments>... arguments) const {
    return id->on_file([&](ucm::File& file) {
      return (ucm->*command)(file, id->handle, std::forward<std::type_identity_t<Arguments>>(arguments)...);
    });
  }
};
[[nodiscard]] ibv_gid gid_of(const Gid& gid);
// Where it is in the GID table of the id's device, as ibv_ah_attr names it.
[[nodiscard]] std::optional<std::uint8_t> gid_index(const CmId& id, const Gid& gid);
// EINVAL if it is none.
Result<Call> enter(const rdma_cm_id* id);

[[nodiscard]] inline rt::Duration milliseconds(int ms) { return std::chrono::milliseconds(ms); }
// ucm's name for an id; 0 is none.
[[nodiscard]] inline std::uint64_t uid_of(const CmId& id) { return reinterpret_cast<std::uintptr_t>(&id.pub); }

std::shared_ptr<Channel> make_channel();  // null: errno
std::shared_ptr<CmId> make_id(std::shared_ptr<Channel> channel, bool sync, void* context, rdma_port_space space,
                              ibv_qp_type qp_type);
// rdma_create_id with the QP type that the port space IB leaves open; EINVAL for numbers that are neither. No channel:
// synchronous mode.
int create_id(rdma_event_channel* channel, rdma_cm_id** id, void* context, int port_space, int type);
// Closes the channel: ids left on it end below, while their objects stay for rdma_destroy_id.
void close_channel(ucm::Manager& ucm, const std::shared_ptr<Channel>& channel);

// Copies what ucm knows about addresses, device and path into the program's id, and opens the device if there is one.
Status query(const Call& call);
void query_path(const cm::Path& path, CmId& id);

// Waits for the next event. EAGAIN, EINTR as rdma_get_cm_event. `program_site`: where the program called that; null:
// the library fetches it for itself, and acknowledges it.
Result<std::shared_ptr<CmEvent>> fetch_event(const std::shared_ptr<Channel>& channel,
                                             const void* program_site = nullptr);
// In synchronous mode: waits for the event of the call just made and answers as that call. Else 0.
int complete(Call& call);
void drop_sync_event(CmId& id);

// MULTICAST_*, whose event is filled otherwise; a QP hears the group from now on.
void on_multicast(CmId& id, const std::shared_ptr<Multicast>& multicast, const ucm::EventRecord& record,
                  CmEvent& event);
// The id's QP is about to be destroyed: a QP that is attached to a group cannot be.
void detach_memberships(CmId& id);
// The id has ended below, and all its events are acknowledged.
void end_memberships(CmId& id);

// Moving the id's QP. Answer like ibv_modify_qp; 0 if there is none.
int qp_to_init(const Call& call);
int qp_to_rtr_and_rts(const Call& call, std::uint8_t responder_resources, std::uint8_t initiator_depth);
int qp_to_error(CmId& id);

// With a QP on the id: what its device offers goes into local_ece, and what the peer offered to the device. Answer like
// ibv_modify_qp.
inline constexpr std::uint32_t ece_vendor_mask = 0xFFFFFF;
int offer_ece(CmId& id);
int take_ece(CmId& id);

}  // namespace hawser::abi::rdmacm
