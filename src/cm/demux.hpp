// From a MAD to the connection that it means: the "lookup key" column of [spec 5.5]. Runs on the dispatcher.
#pragma once

#include "cm/core.hpp"
#include "cm/messages.hpp"

namespace hawser::cm {

void process(Core& core, const Inbox::Item& item);

// A REQ: duplicate, stale, nobody's, or the birth of a connection (incoming_req.cpp).
void process_req(Core& core, const Inbox::Arrival& arrival, const MadHeader& header, const Req& req);

}  // namespace hawser::cm
