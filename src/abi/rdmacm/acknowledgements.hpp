// Events that a program fetched and does not acknowledge: whoever destroys or migrates their id waits for them. With
// HAWSER_CHECK=1 the program is told which, who fetched them, and where: while somebody waits, and at its end.
#pragma once

#include "abi/rdmacm/objects.hpp"

namespace hawser::abi::rdmacm {

// The program fetches the event by rdma_get_cm_event(), called at `site`. Before any other thread can see it.
void note_fetched(CmEvent& event, const void* site);

// Until all `fetched` events of the id are acknowledged. Says so when it takes long: a program that forgets one waits
// for ever. `call` was made at `site`; an id that is being destroyed is shown by `hawser ids` meanwhile.
void wait_for_acknowledgements(CmId& id, unsigned fetched, const char* call, const void* site);

}  // namespace hawser::abi::rdmacm
