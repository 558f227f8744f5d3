// The field's numbers as types of their own. Programs use them too, so they are defined in the public header.
#pragma once

#include "hawser/types.hpp"
