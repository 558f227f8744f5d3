# hawser_fuzzer(SOURCE LIBS ...): the program NAME_fuzzer of NAME_fuzzer.cpp, which has libFuzzer's entry point. With
# HAWSER_FUZZ (preset fuzz) it searches for inputs; elsewhere it is given those of tests/corpora/NAME, as the test
# unit.corpus.NAME.
option(HAWSER_FUZZ "Fuzzers search for new inputs (clang's libFuzzer)" OFF)

add_custom_target(fuzz_programs)  # for make fuzz

function(hawser_fuzzer SOURCE)
  cmake_parse_arguments(FUZZER "" "" "LIBS" ${ARGN})
  get_filename_component(program ${SOURCE} NAME_WE)
  string(REGEX REPLACE "_fuzzer$" "" name ${program})
  if(HAWSER_SANITIZE MATCHES thread)  # no fuzzer has threads that matter
    return()
  endif()
  set(corpus ${CMAKE_SOURCE_DIR}/tests/corpora/${name})
  add_executable(${program} ${SOURCE})
  target_link_libraries(${program} PRIVATE ${FUZZER_LIBS})
  hawser_use_headers(${program})
  add_dependencies(fuzz_programs ${program})
  if(HAWSER_FUZZ)
    target_link_options(${program} PRIVATE -fsanitize=fuzzer)
    # Its own status of a finding is 77, which here means that the test was skipped.
    add_test(NAME unit.corpus.${name} COMMAND ${program} -error_exitcode=1 -runs=0 ${corpus})
  else()
    set(replay_main ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cpp)
    target_sources(${program} PRIVATE ${replay_main})
    # It asks whether the fuzzer has an LLVMFuzzerInitialize: only where that is not in sight.
    set_source_files_properties(${replay_main} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    add_test(NAME unit.corpus.${name} COMMAND ${program} ${corpus})
  endif()
  set_tests_properties(unit.corpus.${name} PROPERTIES LABELS unit TIMEOUT 120 SKIP_RETURN_CODE 77)
  add_dependencies(unit_tests ${program})
endfunction()
