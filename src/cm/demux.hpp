// From a MAD to the connection that it means: the "lookup key" column of [spec 5.5]. Runs on the dispatcher.
// [spec 5.5.9, 5.5.10, 5.5.15, 4 #51, #52]
#pragma once

#include "cm/core.hpp"
#include "cm/messages.hpp"

namespace hawser::cm {

void process(Core& core, const Inbox::Item& item);

// A REQ: duplicate, stale, nobody's, or the birth of a connection (incoming_req.cpp).
void process_req(Core& core, const Inbox::Arrival& arrival, const MadHeader& header, const Req& req);
// A SIDR_REQ: repeated, nobody's, or the birth of what will answer it (incoming_sidr.cpp).
void process_sidr_req(Core& core, const Inbox::Arrival& arrival, const MadHeader& header, const SidrReq& req);

// Either kind of request at the listeners (incoming_req.cpp): the result of the first handler that says more than "not
// for my address"; nullopt if all are closed by now.
[[nodiscard]] std::optional<int> offer(const std::vector<Listeners::Ref>& listeners, Endpoint& endpoint,
                                       const Event& event);
[[nodiscard]] bool is_our_partition(PKey pkey);

}  // namespace hawser::cm
