# Headers that are not ours, compiled once: three quarters of the time of compiling a file goes into them. A file still
# includes what it uses; the preset clang compiles without these (HAWSER_PRECOMPILE OFF), so nothing can be forgotten.
#   hawser_headers        for code that goes into libraries
#   hawser_test_headers   for tests, which are not optimised: googletest's macros take twice as long and find nothing more
option(HAWSER_PRECOMPILE "Compile the headers of libraries once" ON)
set(precompiled <algorithm> <array> <atomic> <charconv> <chrono> <cstdint> <cstring> <deque> <expected> <functional> <map>
    <memory> <mutex> <condition_variable> <optional> <set> <span> <string> <string_view> <system_error> <thread>
    <unordered_map> <utility> <variant> <vector> <fmt/format.h> <boost/container/small_vector.hpp>
    <boost/intrusive/list.hpp> <boost/intrusive/set.hpp>)

file(WRITE ${CMAKE_BINARY_DIR}/headers.cpp "")
add_library(hawser_headers OBJECT ${CMAKE_BINARY_DIR}/headers.cpp)
target_link_libraries(hawser_headers PRIVATE hawser_flags)
add_library(hawser_test_headers OBJECT ${CMAKE_BINARY_DIR}/headers.cpp)
target_link_libraries(hawser_test_headers PRIVATE hawser_flags GTest::gmock)
target_compile_options(hawser_test_headers PRIVATE -O0)
if(HAWSER_PRECOMPILE)
  target_precompile_headers(hawser_headers PRIVATE ${precompiled})
  target_precompile_headers(hawser_test_headers PRIVATE ${precompiled} <gmock/gmock.h> <gtest/gtest.h>)
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    target_compile_options(hawser_flags INTERFACE -fpch-preprocess)  # else a compiler cache cannot see them
  else()
    target_compile_options(hawser_flags INTERFACE "SHELL:-Xclang -fno-pch-timestamp")
  endif()
endif()

function(hawser_reuse_headers TARGET HEADERS)
  target_compile_options(${TARGET} PRIVATE -fPIC)  # of a program too: g++ takes headers only with the options they were compiled with
  if(HAWSER_PRECOMPILE)
    target_precompile_headers(${TARGET} REUSE_FROM ${HEADERS})
  endif()
endfunction()
function(hawser_use_headers TARGET)
  hawser_reuse_headers(${TARGET} hawser_headers)
endfunction()
function(hawser_use_test_headers TARGET)
  target_compile_options(${TARGET} PRIVATE -O0)
  hawser_reuse_headers(${TARGET} hawser_test_headers)
endfunction()
