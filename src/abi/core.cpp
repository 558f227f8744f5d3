// libhawser.so.0 is made of the rooms; this file is here because a library needs one of its own.
