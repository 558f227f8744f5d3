# find_package(hawser): the target hawser::hawser, the C++ interface of include/hawser.
get_filename_component(_hawser_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
if(NOT TARGET hawser::hawser)
  add_library(hawser::hawser SHARED IMPORTED)
  set_target_properties(hawser::hawser PROPERTIES
    IMPORTED_LOCATION "${_hawser_prefix}/lib/hawser/libhawser.so.0"
    IMPORTED_SONAME libhawser.so.0
    INTERFACE_INCLUDE_DIRECTORIES "${_hawser_prefix}/include"
    INTERFACE_COMPILE_FEATURES cxx_std_23)
endif()
unset(_hawser_prefix)
