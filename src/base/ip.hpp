// IP addresses and socket addresses. Programs use them too, so they are defined in the public header.
#pragma once

#include "hawser/address.hpp"
